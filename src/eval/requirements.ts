// Bounds that figures must reach, for checks in continuous integration: 'exact-match>=0.8'.

import { OptionError } from '../base/errors.ts'
import { findNearestName } from '../base/suggest.ts'
import type { Evaluation } from './evaluate.ts'

/** A bound on a metric's figure; the figure itself is compared, not an end of its interval. */
export interface ScoreRequirement {
  readonly metric: string
  readonly atLeast?: number | undefined
  readonly atMost?: number | undefined
}

export interface CheckedRequirement extends ScoreRequirement {
  readonly candidate: string
  readonly value: number
  /** Ends of the 95 % interval over rows. */
  readonly low: number
  readonly high: number
  readonly rows: number
  readonly met: boolean
}

const pattern = /^\s*([a-z0-9-]+)\s*(>=|<=)\s*(\S+)\s*$/u

/**
 * Requirements from text: 'exact-match>=0.8,perplexity<=5'. Throws OptionError for another form, an
 * unknown metric and a bound that is not a number.
 */
export function parseRequirements(text: string, known: Iterable<string>): ScoreRequirement[] {
  const names = [...known]
  return text.split(',').map((part) => {
    const [, metric = '', sign, bound = ''] = pattern.exec(part) ?? []
    const value = Number(bound)
    if (!sign || bound === '' || !Number.isFinite(value))
      throw new OptionError(
        `require: got ${JSON.stringify(part.trim())}, expected a metric with a bound, such as exact-match>=0.8 or perplexity<=5.`,
      )
    if (!names.includes(metric)) throw new OptionError(`require: ${describeUnknown(metric, names)}`)
    return sign === '>=' ? { metric, atLeast: value } : { metric, atMost: value }
  })
}

function describeUnknown(metric: string, names: readonly string[]): string {
  const meant = findNearestName(metric, names)
  const hint = meant === undefined ? '' : ` Did you mean ${meant}?`
  return `got the metric ${metric}, expected one of ${names.join(', ')}.${hint}`
}

/** 'exact-match ≥ 0.8' */
export function describeRequirement({ metric, atLeast, atMost }: ScoreRequirement): string {
  const bounds = [
    ...(atLeast === undefined ? [] : [`≥ ${atLeast}`]),
    ...(atMost === undefined ? [] : [`≤ ${atMost}`]),
  ]
  return `${metric} ${bounds.join(' and ')}`
}

/**
 * Compares the last candidate's figures with their bounds. A figure that is not a number meets
 * none. Throws OptionError if a metric was not evaluated, or a requirement has no bound.
 */
export function checkRequirements(
  { metricResults }: Evaluation,
  requirements: readonly ScoreRequirement[],
): CheckedRequirement[] {
  return requirements.map((requirement) => {
    const { metric, atLeast, atMost } = requirement
    if (atLeast === undefined && atMost === undefined)
      throw new OptionError(`${metric}: the requirement has no bound; give atLeast or atMost.`)
    const result = metricResults.find((one) => one.metric === metric)?.results.at(-1)
    if (!result)
      throw new OptionError(
        `${metric} was not evaluated; evaluated were ${metricResults.map((one) => one.metric).join(', ')}.`,
      )
    const { candidate, value, low, high, rows } = result
    const met = value >= (atLeast ?? -Infinity) && value <= (atMost ?? Infinity)
    return { metric, atLeast, atMost, candidate, value, low, high, rows, met }
  })
}

const formatFigure = (value: number): string => String(Number(value.toPrecision(4)))

/** 'exact-match of coder: 0.75 (95 % interval 0.6 to 0.86, 40 rows), expected ≥ 0.8' */
export function describeCheck(checked: CheckedRequirement): string {
  const { metric, candidate, value, low, high, rows } = checked
  const wanted = describeRequirement(checked).slice(metric.length + 1)
  return `${metric} of ${candidate}: ${formatFigure(value)} (95 % interval ${formatFigure(low)} to ${formatFigure(high)}, ${rows} ${rows === 1 ? 'row' : 'rows'}), expected ${wanted}`
}

/** Characters that XML 1.0 cannot hold, not even escaped, become U+FFFD. */
const forbidden = /[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu
const escapes: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
}
const escapeXml = (text: string): string =>
  text.replaceAll(forbidden, '\ufffd').replaceAll(/[&<>"]/gu, (character) => escapes[character]!)

/**
 * The checks as a JUnit report, which continuous integration shows as tests: a case for each
 * requirement, failed where it is missed. The form is the one that Jenkins and GitLab read:
 * https://github.com/testmoapp/junitxml.
 */
export function formatJUnit(
  suite: string,
  checks: readonly CheckedRequirement[],
  seconds: number,
): string {
  const failures = checks.filter(({ met }) => !met).length
  const counts = `tests="${checks.length}" failures="${failures}" errors="0" time="${seconds.toFixed(3)}"`
  const cases = checks.map((checked) => {
    const head = `    <testcase classname="${escapeXml(`${suite}.${checked.candidate}`)}" name="${escapeXml(describeRequirement(checked))}"`
    const text = escapeXml(describeCheck(checked))
    return checked.met
      ? `${head}>\n      <system-out>${text}</system-out>\n    </testcase>`
      : `${head}>\n      <failure message="${text}" type="score"/>\n    </testcase>`
  })
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites ${counts}>`,
    `  <testsuite name="${escapeXml(suite)}" ${counts}>`,
    ...cases,
    '  </testsuite>',
    '</testsuites>',
    '',
  ].join('\n')
}
