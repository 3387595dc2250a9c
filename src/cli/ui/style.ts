// Colours on a terminal that supports them (https://no-color.org), plain text everywhere else.

import { styleText } from 'node:util'

export interface Style {
  strong(text: string): string
  faint(text: string): string
  good(text: string): string
  bad(text: string): string
  accent(text: string): string
}

type Format = Parameters<typeof styleText>[0]

const formats: Readonly<Record<keyof Style, Format>> = {
  strong: 'bold',
  faint: 'dim',
  good: 'green',
  bad: 'red',
  accent: 'cyan',
}

/**
 * Whether a stream shows colours: a terminal, not a dumb one, and no NO_COLOR in the environment.
 */
export function shouldColour(
  stream: { readonly isTTY?: boolean | undefined },
  environment: Readonly<Record<string, string | undefined>>,
): boolean {
  return stream.isTTY === true && !environment['NO_COLOR'] && environment['TERM'] !== 'dumb'
}

export function createStyle(
  stream: { readonly isTTY?: boolean | undefined },
  environment: Readonly<Record<string, string | undefined>>,
): Style {
  const coloured = shouldColour(stream, environment)
  const entries = Object.entries(formats).map(([name, format]) => {
    const paint = (text: string): string =>
      coloured ? styleText(format, text, { validateStream: false }) : text
    return [name, paint] as const
  })
  return Object.fromEntries(entries) as unknown as Style
}
