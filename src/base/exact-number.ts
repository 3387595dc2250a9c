// JSON numbers that a JavaScript number cannot represent or prints differently: integers of more
// than 15 digits, 1.0, 1e-05. Independent of what the numbers are for.

type Reviver = (
  this: unknown,
  key: string,
  value: unknown,
  context?: { source?: string },
) => unknown

/** A number with the text that Python's json module prints for it. */
export class ExactNumber {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
  valueOf(): number {
    return Number(this.text)
  }
  toString(): string {
    return this.text
  }
  /** JSON.stringify writes the text as it is. */
  toJSON(): unknown {
    const { rawJSON } = JSON as unknown as { rawJSON?: (text: string) => unknown }
    return rawJSON ? rawJSON.call(JSON, this.text) : Number(this.text)
  }
}

/** A number as Python's `repr` prints a float: 1.0, 1e-05, 1e+16. */
export function formatPythonFloat(value: number): string {
  const [digits, power] = value.toExponential().split('e')
  const exponent = Number(power)
  if (value !== 0 && (exponent < -4 || exponent >= 16))
    return `${digits}e${exponent < 0 ? '-' : '+'}${String(Math.abs(exponent)).padStart(2, '0')}`
  const text = Object.is(value, -0) ? '-0' : String(value)
  return text.includes('.') ? text : `${text}.0`
}

/** A JavaScript number where it prints the same text as in Python, else an ExactNumber. */
export function toExactNumber(source: string): number | ExactNumber {
  const value = Number(source)
  if (/^-?\d+$/.test(source)) return Number.isSafeInteger(value) ? value : new ExactNumber(source)
  if (!Number.isFinite(value)) return new ExactNumber(source)
  const text = formatPythonFloat(value)
  return text === String(value) ? value : new ExactNumber(text)
}

const keepNumber: Reviver = (_key, value, context) =>
  typeof value === 'number' && context?.source !== undefined ? toExactNumber(context.source) : value

/** Whether a JSON text may contain a value that is a number other than a short integer. */
export const canHoldExactNumber = (text: string): boolean =>
  /(?:^|[:[,])\s*-?\d+(?:\.|[eE]|\d{14})/.test(text)

/** JSON.parse whose numbers keep their text. Throws SyntaxError as JSON.parse does. */
export const parseExactJson = (text: string): unknown =>
  canHoldExactNumber(text) ? JSON.parse(text, keepNumber as never) : JSON.parse(text)
