// Numbers that optimisers are set by: defaults filled in, everything wrong reported at once.

import { OptionError } from '../../base/errors.ts'

interface Bounds {
  readonly default: number
  readonly least: number
  /** Values must be below this. */
  readonly below?: number
}

/** Reads numbers by name; throws OptionError naming unknown keys and values out of bounds. */
export function readSettings<Name extends string>(
  what: string,
  options: Readonly<Record<string, unknown>>,
  bounds: Readonly<Record<Name, Bounds>>,
): Record<Name, number> {
  const problems = Object.keys(options).flatMap((key) =>
    key in bounds ? [] : [`there is no option "${key}" (there are ${Object.keys(bounds).join(', ')})`],
  )
  const settings = {} as Record<Name, number>
  for (const [name, { default: usual, least, below = Infinity }] of Object.entries(bounds) as [Name, Bounds][]) {
    const value = options[name] ?? usual
    if (typeof value === 'number' && value >= least && value < below) settings[name] = value
    else problems.push(`${name} must be a number from ${least} to below ${below}, got ${String(value)}`)
  }
  if (problems.length > 0) throw new OptionError(`${what}: ${problems.join('; ')}.`)
  return settings
}
