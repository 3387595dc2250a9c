// Removes secrets and personal data from captured rows, by rules. A rule replaces each match by its
// name in brackets, so that the row still makes sense.

import { OptionError } from '../../base/errors.ts'
import { isRecord } from '../../base/schema.ts'
import { findNearestName } from '../../base/suggest.ts'

export interface RedactionRule {
  /** 'emails' */
  readonly name: string
  /** The replacement of a match: '[email]'. */
  readonly mark: string
  /** Global patterns; a group named `secret` is replaced if there is one, else the whole match. */
  readonly patterns: readonly RegExp[]
  /** Whether a match counts. Default: always. */
  readonly isMeant?: ((found: string) => boolean) | undefined
}

/** Luhn's check, which one in ten random numbers passes (ISO/IEC 7812). */
function hasCardChecksum(found: string): boolean {
  const digits = [...found.replaceAll(/\D/g, '')].map(Number).reverse()
  const sum = digits.reduce((total, digit, i) => {
    const doubled = i % 2 === 1 ? digit * 2 : digit
    return total + (doubled > 9 ? doubled - 9 : doubled)
  }, 0)
  return sum % 10 === 0
}

/** Key formats that issuers document for secret scanning, and assignments of passwords. */
const keyPatterns = [
  /-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----[^]*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|$)/g,
  /\bsk-[A-Za-z0-9_-]{16,}/g,
  /\b(?:gh[opsur]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{22,})/g,
  /\bglpat-[A-Za-z0-9_-]{20,}/g,
  /\b(?:AKIA|ASIA)[0-9A-Z]{16}\b/g,
  /\bAIza[0-9A-Za-z_-]{35}/g,
  /\bxox[abeprs]-[A-Za-z0-9-]{10,}/g,
  /\b(?:hf|npm)_[A-Za-z0-9]{30,}/g,
  /\bgraft-[A-Za-z0-9_-]{24,}/g,
  /\b(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,}/g,
  /\bwhsec_[A-Za-z0-9+/=]{16,}/g,
  /\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}/g,
  /\bya29\.[A-Za-z0-9_-]{20,}/g,
  /\bGOCSPX-[A-Za-z0-9_-]{20,}/g,
  /\bxapp-[A-Za-z0-9-]{10,}/g,
  /\bhooks\.slack\.com\/services\/(?<secret>[A-Za-z0-9/]{20,})/g,
  /\bshp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}/g,
  /\bdo[opr]_v1_[a-f0-9]{32,}/g,
  /\bpypi-[A-Za-z0-9_-]{50,}/g,
  /\bAGE-SECRET-KEY-1[0-9A-Z]{40,}/g,
  /\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{5,}/g,
  /\b(?:Bearer|Basic)\s+(?<secret>[A-Za-z0-9._~+/-]{16,}=*)/gi,
  /:\/\/[^\s:@/"']{0,64}:(?<secret>[^\s/"'\\]{3,128})(?=@)/g, // https://ada:secret@host
  ...createAssignments(
    'password|passwd|pwd|passphrase|api[_-]?key|access[_-]?key|account[_-]?key|private[_-]?key|secret|(?:auth|access|refresh|session|bot|id)[_-]?token',
    6,
  ),
  ...createAssignments('token', 16),
]

/** Values of at least `least` characters that are assigned to a name that ends so: DB_PASSWORD=… */
function createAssignments(names: string, least: number): RegExp[] {
  const start = String.raw`(?:${names})\\?["']?\s{0,4}(?::|=>?)\s{0,4}`
  return [
    new RegExp(String.raw`${start}\\?"(?<secret>[^"\\\n]{${least},256})`, 'gi'),
    new RegExp(String.raw`${start}'(?<secret>[^'\\\n]{${least},256})`, 'gi'),
    new RegExp(String.raw`${start}\\?["']?(?<secret>[^\s"'\\]{${least - 1},}[^\s"'\\,;])`, 'gi'),
  ]
}

export const redactionRules: ReadonlyMap<string, RedactionRule> = new Map(
  (
    [
      {
        name: 'emails',
        mark: '[email]',
        patterns: [
          /(?<![\p{L}\p{N}._%+-])[\p{L}\p{N}._%+-]{1,64}(?:@|%40|&#64;|\\u0040)(?:[\p{L}\p{N}-]{1,63}\.)+\p{L}{2,24}/gu,
        ],
      },
      { name: 'keys', mark: '[key]', patterns: keyPatterns },
      {
        name: 'cards',
        mark: '[card]',
        patterns: [/(?<![\d.-])\d(?:[ .\u2010-\u2015-]?\d){12,18}(?!\.?\d)/g],
        isMeant: hasCardChecksum,
      },
      {
        name: 'phones',
        mark: '[phone]',
        patterns: [/(?<![\w+])\+\d(?:[ ()./-]{0,2}\d){7,14}(?!\d)/g],
      },
    ] satisfies readonly RedactionRule[]
  ).map((rule): [string, RedactionRule] => [rule.name, rule]),
)

/**
 * The rules of a list of names: 'emails,keys', 'all' or 'none'. Throws OptionError for another name.
 */
export function parseRedaction(text: string): RedactionRule[] {
  if (text === 'none') return []
  if (text === 'all') return [...redactionRules.values()]
  return text.split(',').map((part) => {
    const name = part.trim()
    const rule = redactionRules.get(name)
    if (rule) return rule
    const names = [...redactionRules.keys()]
    const meant = findNearestName(name, names)
    throw new OptionError(
      `redact: got ${JSON.stringify(name)}, expected all, none or names of ${names.join(', ')}.${meant === undefined ? '' : ` Did you mean ${meant}?`}`,
    )
  })
}

/** A custom rule: 'case=C-[0-9]+' replaces matches of the pattern by [case]. Throws OptionError. */
export function parseRedactionPattern(text: string): RedactionRule {
  const [, name, pattern] = /^([a-z][a-z0-9-]*)=(.+)$/s.exec(text) ?? []
  if (name === undefined || pattern === undefined)
    throw new OptionError(
      `redact-pattern: got ${JSON.stringify(text)}, expected a name and a pattern, such as case=C-[0-9]+.`,
    )
  try {
    const compiled = new RegExp(pattern, 'gu')
    if (compiled.test('')) throw new Error('it matches the empty text')
    return { name, mark: `[${name}]`, patterns: [new RegExp(pattern, 'gu')] }
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new OptionError(`redact-pattern: ${name}: ${reason}.`, { cause })
  }
}

/** How often each rule replaced something. */
export type RedactionCounts = Record<string, number>

/** Characters that are not seen, with which a key or an address matches no pattern. */
const unseen = /[\u00ad\u180e\u200b-\u200f\u2060-\u2064\ufeff]/g

/**
 * The text without what the rules find. If they find more where wide and unseen characters are
 * written plainly (ａ as a, ＠ as @), the text comes back in that form.
 */
function redactText(
  text: string,
  rules: readonly RedactionRule[],
  counts: RedactionCounts,
): string {
  const found: RedactionCounts = {}
  const result = replaceFound(text, rules, found)
  const plain = text.normalize('NFKC').replaceAll(unseen, '')
  const foundPlain: RedactionCounts = {}
  const resultPlain = plain === text ? result : replaceFound(plain, rules, foundPlain)
  const isHidden = sumCounts(foundPlain) > sumCounts(found)
  for (const [name, times] of Object.entries(isHidden ? foundPlain : found))
    counts[name] = (counts[name] ?? 0) + times
  return isHidden ? resultPlain : result
}

const sumCounts = (counts: RedactionCounts): number =>
  Object.values(counts).reduce((sum, times) => sum + times, 0)

function replaceFound(
  text: string,
  rules: readonly RedactionRule[],
  counts: RedactionCounts,
): string {
  let result = text
  for (const { name, mark, patterns, isMeant } of rules)
    for (const pattern of patterns)
      result = result.replaceAll(pattern, (...found: unknown[]) => {
        const whole = found[0] as string
        const groups = found.at(-1)
        const secret = isRecord(groups) ? (groups['secret'] as string | undefined) : undefined
        const meant = secret ?? whole
        if (isMeant?.(meant) === false || meant === mark) return whole
        counts[name] = (counts[name] ?? 0) + 1
        return secret === undefined ? mark : `${whole.slice(0, -secret.length)}${mark}`
      })
  return result
}

/** The JSON value with every string redacted, keys of objects too; counts the replacements. */
export function redactValue(
  value: unknown,
  rules: readonly RedactionRule[],
  counts: RedactionCounts,
): unknown {
  if (typeof value === 'string') return redactText(value, rules, counts)
  if (Array.isArray(value)) return value.map((item) => redactValue(item, rules, counts))
  if (!isRecord(value)) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      redactText(key, rules, counts),
      redactValue(item, rules, counts),
    ]),
  )
}
