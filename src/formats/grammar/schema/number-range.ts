// Numbers between two bounds as digits: a text is compared with both bounds digit by digit. Numbers
// are written without an exponent and with at most 15 digits, because more would be rounded, and a
// rounded number may reach a bound that it must stay below.

import {
  EMPTY,
  type GrammarExpression,
  matchCodes,
  matchEither,
  matchRepeat,
  matchSequence,
  matchText,
  NOTHING,
} from '../grammar.ts'
import { DIGIT } from './json-text.ts'

export interface NumberBounds {
  readonly least: number
  readonly most: number
  /** Whether the bound itself is left out. */
  readonly isAbove: boolean
  readonly isBelow: boolean
}

/** Digits that a double can represent. */
const EXACT_DIGITS = 15

/** A bound ≥ 0: its digits before and behind the point. */
interface Decimal {
  readonly whole: string
  readonly fraction: string
}

/** The digits of a bound that a text has matched so far are taken off. */
interface Limit {
  readonly digits: string
  readonly isOpen: boolean
}

/** Limits of a text: undefined once a digit has decided. */
interface Limits {
  readonly low: Limit | undefined
  readonly high: Limit | undefined
}

function toDecimal(value: number): Decimal {
  const [, whole = '0', fraction = '', exponent = '0'] = /^(\d+)(?:\.(\d+))?(?:e([+-]\d+))?$/.exec(
    String(value),
  )!
  const digits = whole + fraction
  const point = whole.length + Number(exponent)
  if (point <= 0) return { whole: '0', fraction: '0'.repeat(-point) + digits }
  return {
    whole: digits
      .slice(0, point)
      .padEnd(point, '0')
      .replace(/^0+(?=\d)/, ''),
    fraction: digits.slice(point).replace(/0+$/, ''),
  }
}

const hasDigits = ({ digits }: Limit): boolean => /[1-9]/.test(digits)

/** Whether a text that ends here is inside: the rest of a bound determines it. */
const canEnd = ({ low, high }: Limits): boolean =>
  (!low || (!hasDigits(low) && !low.isOpen)) && (!high || hasDigits(high) || !high.isOpen)

const matchDigits = (from: number, to: number): GrammarExpression =>
  from > to ? NOTHING : matchCodes([[0x30 + from, 0x30 + to]])

/** One digit, and what may follow it. */
function matchDigit(
  { low, high }: Limits,
  next: (limits: Limits) => GrammarExpression,
): GrammarExpression {
  const from = low ? Number(low.digits[0] ?? 0) : 0
  const to = high ? Number(high.digits[0] ?? 0) : 9
  const take = (limit: Limit | undefined): Limit | undefined =>
    limit && { digits: limit.digits.slice(1), isOpen: limit.isOpen }
  const free = { low: undefined, high: undefined }
  const step = (first: number, last: number, limits: Limits): GrammarExpression =>
    first > last ? NOTHING : matchSequence(matchDigits(first, last), next(limits))
  if (from > to) return NOTHING
  if (from === to) return step(from, to, { low: take(low), high: take(high) })
  return matchEither(
    low ? step(from, from, { low: take(low), high: undefined }) : NOTHING,
    step(low ? from + 1 : from, high ? to - 1 : to, free),
    high ? step(to, to, { low: undefined, high: take(high) }) : NOTHING,
  )
}

/** At most `left` more digits behind the point. */
function matchFraction(limits: Limits, left: number, isStart: boolean): GrammarExpression {
  const { low, high } = limits
  if (!low && !high) return matchRepeat(DIGIT, isStart ? 1 : 0, left)
  const end = canEnd(limits) && !isStart ? EMPTY : NOTHING
  if (left === 0) return end
  return matchEither(
    end,
    matchDigit(limits, (next) => matchFraction(next, left - 1, false)),
  )
}

/** `whole` digits, then the point and a fraction where there may be one. */
function matchNumber(limits: Limits, whole: number, fraction: number): GrammarExpression {
  if (whole > 0) return matchDigit(limits, (next) => matchNumber(next, whole - 1, fraction))
  return matchEither(
    canEnd(limits) ? EMPTY : NOTHING,
    fraction > 0 ? matchSequence(matchText('.'), matchFraction(limits, fraction, true)) : NOTHING,
  )
}

/** Numbers between bounds ≥ 0, for each number of digits before the point. */
function matchPositive(
  { least, most, isAbove, isBelow }: NumberBounds,
  isInteger: boolean,
): GrammarExpression {
  if (least > most) return NOTHING
  const low = toDecimal(least)
  const top = '9'.repeat(Math.max(EXACT_DIGITS, low.whole.length))
  const high = most < Number(top) ? toDecimal(most) : { whole: top, fraction: '' }
  const parts: GrammarExpression[] = []
  for (let length = low.whole.length; length <= high.whole.length; length++) {
    const limits: Limits = {
      low:
        length === low.whole.length
          ? { digits: low.whole + low.fraction, isOpen: isAbove }
          : { digits: '1', isOpen: false },
      high:
        length === high.whole.length
          ? { digits: high.whole + high.fraction, isOpen: isBelow && most < Number(top) }
          : undefined,
    }
    const fraction = isInteger ? 0 : Math.max(0, EXACT_DIGITS - length)
    parts.push(matchNumber(limits, length, fraction))
  }
  return matchEither(...parts)
}

/** JSON numbers between two bounds, either of which may be infinite; NOTHING if there is none. */
export function matchNumberRange(bounds: NumberBounds, isInteger: boolean): GrammarExpression {
  const { least, most, isAbove, isBelow } = bounds
  if (least > most || (least === most && (isAbove || isBelow))) return NOTHING
  const positive =
    most < 0
      ? NOTHING
      : matchPositive(least < 0 ? { least: 0, most, isAbove: false, isBelow } : bounds, isInteger)
  if (least >= 0) return positive
  const negative: NumberBounds = {
    // −0 is left out: it is written 0.
    least: most >= 0 ? 0 : -most,
    isAbove: most >= 0 || isBelow,
    most: -least,
    isBelow: isAbove,
  }
  return matchEither(positive, matchSequence(matchText('-'), matchPositive(negative, isInteger)))
}
