// Turns the options of graft train into keys of a training manifest, which override those of a
// file.

import type { ManifestOverride } from '../../node/manifests/manifest-file.ts'
import { naturalNumber, number } from '../../base/schema.ts'
import { checkValue } from '../command.ts'
import { parseNamedValues } from '../shared/named-values.ts'
import { parseExperts } from '../shared/open-experts.ts'
import { parseTargets } from '../shared/parse-targets.ts'
import type { TrainOption, TrainValues } from './train-option-table.ts'
import { kindNames, trainOptions } from './train-options.ts'

/**
 * Paths are relative to where the command was typed, not to a training manifest: `at` makes them
 * absolute.
 */
export interface OverrideContext {
  readonly presets: readonly string[]
  at(path: string): string
}

/** The options of a command line as keys of a training manifest, which override the file's. */
export function toOverrides(
  values: TrainValues,
  { presets, at }: OverrideContext,
): ManifestOverride[] {
  const parsed: Partial<Record<keyof TrainValues, unknown>> = {
    ...values,
    kind: values.kind === undefined ? undefined : parseKinds(values.kind),
    data: values.data === undefined ? undefined : at(values.data),
    out: values.out === undefined ? undefined : at(values.out),
    targets: values.targets === undefined ? undefined : parseTargets(values.targets, presets),
    'train-tokens': parseTokenIds(values['train-tokens']),
    validation: parseValidation(values.validation, at),
    loss: values.loss ?? (values.teacher || values['teacher-model'] ? 'distillation' : undefined),
    reference: values.reference === undefined ? undefined : at(values.reference),
    from: values.from === undefined ? undefined : at(values.from),
  }
  const plain = Object.entries<TrainOption>(trainOptions).flatMap(
    ([name, { manifestKey: key }]) => {
      const value = parsed[name as keyof TrainValues]
      return key === undefined || value === undefined || value === false ? [] : [{ key, value }]
    },
  )
  const lists = (['optimizer', 'schedule', 'loss'] as const).flatMap((section) =>
    Object.entries(parseNamedValues(`--${section}-options`, values[`${section}-options`])).map(
      ([name, value]) => ({
        key: `${section}.${name}`,
        value,
      }),
    ),
  )
  const given = [...plain, ...lists, ...toTeacherOverrides(values.teacher, at)]
  // Steps count before epochs, so epochs that were typed take steps that were written away.
  return values.epochs !== undefined && values.steps === undefined
    ? [...given, { key: 'schedule.steps', value: undefined }]
    : given
}

/**
 * 'ia3,prompt-tuning' as a list, 'lora' as a name. Throws UsageError for a name that is no kind.
 */
function parseKinds(text: string): string | readonly string[] {
  const names = text.split(/[,+]/).map((name) => name.trim())
  for (const name of names) checkValue(kindNames, name, '--kind')
  return names.length === 1 ? names[0]! : names
}

/** One expert of weight 1 is an adapter, anything else a mixture; either replaces the other. */
function toTeacherOverrides(
  texts: readonly string[] | undefined,
  at: OverrideContext['at'],
): ManifestOverride[] {
  const named = parseExperts(texts ?? [])
  const [first] = named
  if (!first) return []
  const isOne = named.length === 1 && first.weight === 1
  const mixture = Object.fromEntries(named.map(({ folder, weight }) => [at(folder), weight]))
  return [
    { key: 'teacher.adapter', value: isOne ? at(first.folder) : undefined },
    { key: 'teacher.mixture', value: isOne ? undefined : mixture },
  ]
}

function parseTokenIds(text: string | undefined): number[] | undefined {
  return text?.split(',').map((part) => {
    const id = part.trim() === '' ? NaN : Number(part)
    checkValue(naturalNumber, Number.isNaN(id) ? part : id, '--train-tokens')
    return id
  })
}

const heldShare = number({ above: 0, below: 1 })

/** A number is a share of the data, anything else a file. */
function parseValidation(
  text: string | undefined,
  at: (path: string) => string,
): string | number | undefined {
  if (text === undefined) return undefined
  if (text.trim() === '' || !Number.isFinite(Number(text))) return at(text)
  const share = Number(text)
  checkValue(heldShare, share, '--validation')
  return share
}
