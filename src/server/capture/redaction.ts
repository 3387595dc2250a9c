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
  /-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----[^]*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----|$)/g,
  /\bsk-[A-Za-z0-9_-]{16,}/g,
  /\b(?:gh[opsur]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{22,})/g,
  /\bglpat-[A-Za-z0-9_-]{20,}/g,
  /\b(?:AKIA|ASIA)[0-9A-Z]{16}\b/g,
  /\bAIza[0-9A-Za-z_-]{35}/g,
  /\bxox[abeprs]-[A-Za-z0-9-]{10,}/g,
  /\b(?:hf|npm)_[A-Za-z0-9]{30,}/g,
  /\bgraft-[A-Za-z0-9_-]{24,}/g,
  /\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{5,}/g,
  /\bBearer\s+(?<secret>[A-Za-z0-9._~+/-]{16,}=*)/gi,
  /\b(?:password|passwd|passphrase|api[_-]?key|access[_-]?key|secret|auth[_-]?token|access[_-]?token)\\?["']?\s{0,4}[:=]\s{0,4}\\?["']?(?<secret>[^\s"'\\,;]{6,})/gi,
]

export const redactionRules: ReadonlyMap<string, RedactionRule> = new Map(
  (
    [
      {
        name: 'emails',
        mark: '[email]',
        patterns: [
          /(?<![\p{L}\p{N}._%+-])[\p{L}\p{N}._%+-]{1,64}@(?:[\p{L}\p{N}-]{1,63}\.)+\p{L}{2,24}/gu,
        ],
      },
      { name: 'keys', mark: '[key]', patterns: keyPatterns },
      {
        name: 'cards',
        mark: '[card]',
        patterns: [/(?<![\d.-])\d(?:[ -]?\d){12,18}(?![\d.])/g],
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

function redactText(
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
