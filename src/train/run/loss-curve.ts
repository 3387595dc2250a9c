// Draws a run as an SVG: losses of every step, their moving average, validations and the best of
// them; below, the learning rate. A pure function of the history; independent of files and the DOM.

import { readOptions, string } from '../../base/schema.ts'
import type { History } from '../history.ts'

export interface LossCurveOptions {
  readonly title?: string
}

const lossCurveTable = { title: string({ default: 'Training loss' }) }

const width = 760
const frame = { left: 64, right: 20, top: 72, bottom: 52 }
const plotWidth = width - frame.left - frame.right
const plotHeight = 296
const rateTop = frame.top + plotHeight + 42
const rateHeight = 54
const height = rateTop + rateHeight + frame.bottom
const mostPoints = 1200 // finer than a pixel

const style = `
  text { font: 13px system-ui, "DejaVu Sans", sans-serif; fill: #52514e }
  .title { font-size: 16px; font-weight: 600; fill: #1f1e1d }
  .ground { fill: #ffffff } .grid { stroke: #e4e3df } .axis { stroke: #a3a29d }
  .raw { fill: none; stroke: #9ec3e8; stroke-width: 1 } .mean { fill: none; stroke: #1f6fb8; stroke-width: 2.2; stroke-linejoin: round }
  .line { fill: none; stroke: #c2571a; stroke-width: 1.2; stroke-dasharray: 4 4 } .dot { fill: #c2571a; stroke: #ffffff; stroke-width: 1.5 }
  .best { fill: none; stroke: #c2571a; stroke-width: 1.5 } .rate { fill: none; stroke: #6a7f3c; stroke-width: 1.6; stroke-linejoin: round }
  @media (prefers-color-scheme: dark) {
    text { fill: #b9b8b3 } .title { fill: #f2f1ee } .ground { fill: #1b1b1a } .grid { stroke: #343432 } .axis { stroke: #6d6c68 }
    .raw { stroke: #44709b } .mean { stroke: #6cb2f2 } .line { stroke: #f0975c } .dot { fill: #f0975c; stroke: #1b1b1a }
    .best { stroke: #f0975c } .rate { stroke: #a9c270 }
  }`

/**
 * Round numbers that divide a range into about `count` parts; their distance is 1, 2 or 5 times a
 * power of ten.
 */
export function computeTicks(from: number, to: number, count: number): number[] {
  const rough = Math.max(to - from, Number.MIN_VALUE) / count
  const power = 10 ** Math.floor(Math.log10(rough))
  const apart = ([1, 2, 5].find((factor) => factor * power >= rough * 0.999) ?? 10) * power
  const first = Math.ceil(from / apart - 1e-9)
  const last = Math.floor(to / apart + 1e-9)
  return Array.from({ length: last - first + 1 }, (_, i) =>
    Number(((first + i) * apart).toPrecision(12)),
  )
}

/**
 * Mean of the values around each one, at most `reach` to either side and equally many to both, so
 * that a falling curve's mean does not lag.
 */
export function smoothValues(values: readonly number[], reach: number): number[] {
  const sums = new Float64Array(values.length + 1)
  values.forEach((value, i) => (sums[i + 1] = sums[i]! + value))
  return values.map((_, i) => {
    const half = Math.min(reach, i, values.length - 1 - i)
    return (sums[i + half + 1]! - sums[i - half]!) / (2 * half + 1)
  })
}

const escapeXml = (text: string): string =>
  text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`)
const formatCoordinate = (value: number): string => value.toFixed(1)

interface Point {
  readonly step: number
  readonly value: number
}

/** Every n-th point, so that a long run's file stays small, and always the last one. */
const thinPoints = (points: readonly Point[]): readonly Point[] => {
  const every = Math.ceil(points.length / mostPoints)
  return points.filter((_, i) => i % every === 0 || i === points.length - 1)
}

type Scale = (value: number) => number

const drawPath = (points: readonly Point[], x: Scale, y: Scale): string =>
  thinPoints(points)
    .map(
      ({ step, value }, i) =>
        `${i === 0 ? 'M' : 'L'}${formatCoordinate(x(step))} ${formatCoordinate(y(value))}`,
    )
    .join('')

const selectFinite = (points: readonly Point[]): Point[] =>
  points.filter(({ value }) => Number.isFinite(value))
const collectLosses = (
  records: readonly { readonly step: number; readonly loss: number }[],
): Point[] => selectFinite(records.map(({ step, loss }) => ({ step, value: loss })))

/** The range of losses shown: whole ticks around all of them. */
function computeLossRange(losses: readonly number[]): [number, number] {
  const least = losses.reduce((a, b) => Math.min(a, b)) // spreading a long run's losses would overflow the stack
  const most = losses.reduce((a, b) => Math.max(a, b))
  const marks = computeTicks(least, most > least ? most : least + 1, 5)
  const apart = marks.length > 1 ? marks[1]! - marks[0]! : 1
  return [
    Math.max(0, Math.floor(least / apart) * apart),
    Math.max(Math.ceil(most / apart), Math.floor(least / apart) + 1) * apart,
  ]
}

/** Where the axis of steps ends. */
const getLastStep = ({ steps, validations }: History): number =>
  Math.max(1, steps.at(-1)?.step ?? 0, validations.at(-1)?.step ?? 0)

/**
 * The run as an SVG document, readable on a light and a dark background. Values that are not finite
 * are left out.
 */
export function drawLossCurve(history: History, options: LossCurveOptions = {}): string {
  const { title } = readOptions('Options of drawLossCurve', options, lossCurveTable)
  const end = getLastStep(history)
  const x: Scale = (step) => frame.left + (step / end) * plotWidth
  const rates = selectFinite(
    history.steps.map(({ step, learningRate }) => ({ step, value: learningRate })),
  )
  const axisTop = rateTop + rateHeight
  const columns = computeTicks(0, end, 8)
    .filter(Number.isInteger)
    .map(
      (step) =>
        `<path class="axis" d="M${formatCoordinate(x(step))} ${axisTop}v5"/><text x="${formatCoordinate(x(step))}" y="${axisTop + 21}" text-anchor="middle">${step}</text>`,
    )
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${escapeXml(title)}">`,
    `<style>${style}</style><rect class="ground" width="${width}" height="${height}"/>`,
    `<text class="title" x="${frame.left}" y="28">${escapeXml(title)}</text>`,
    ...drawLosses(collectLosses(history.steps), collectLosses(history.validations), x),
    ...drawLearningRates(rates, x),
    ...columns,
    `<text x="${frame.left + plotWidth / 2}" y="${height - 12}" text-anchor="middle">step</text>`,
    drawLegend(history.validations.length > 0),
    '</svg>\n',
  ].join('\n')
}

/** The upper part: losses over steps. */
function drawLosses(steps: readonly Point[], validations: readonly Point[], x: Scale): string[] {
  const values = [...steps, ...validations].map(({ value }) => value)
  const [low, high] = values.length > 0 ? computeLossRange(values) : [0, 1]
  const y: Scale = (loss) => frame.top + (1 - (loss - low) / (high - low)) * plotHeight
  const means = smoothValues(
    steps.map(({ value }) => value),
    Math.max(3, Math.round(steps.length / 30)),
  )
  const meanPoints = steps.map(({ step }, i) => ({ step, value: means[i]! }))
  const rows = computeTicks(low, high, 5).map(
    (loss) =>
      `<path class="grid" d="M${frame.left} ${formatCoordinate(y(loss))}h${plotWidth}"/><text x="${frame.left - 10}" y="${formatCoordinate(y(loss) + 4.5)}" text-anchor="end">${loss}</text>`,
  )
  const best = validations.reduce<Point | undefined>(
    (least, point) => (least && least.value <= point.value ? least : point),
    undefined,
  )
  const dots = validations.map(
    ({ step, value }) =>
      `<circle class="dot" cx="${formatCoordinate(x(step))}" cy="${formatCoordinate(y(value))}" r="4"><title>step ${step}: ${value.toFixed(4)}${step === best?.step ? ', the best' : ''}</title></circle>`,
  )
  const ring = best
    ? `<circle class="best" cx="${formatCoordinate(x(best.step))}" cy="${formatCoordinate(y(best.value))}" r="8"/>`
    : ''
  return [
    ...rows,
    `<path class="axis" d="M${frame.left} ${frame.top + plotHeight}h${plotWidth}"/>`,
    `<text transform="translate(18 ${frame.top + plotHeight / 2}) rotate(-90)" text-anchor="middle">loss</text>`,
    `<path class="raw" d="${drawPath(steps, x, y)}"/><path class="mean" d="${drawPath(meanPoints, x, y)}"/>`,
    `<path class="line" d="${drawPath(validations, x, y)}"/>${dots.join('')}${ring}`,
  ]
}

/** The lower part: the learning rate from 0 to its highest, over the same steps. */
function drawLearningRates(rates: readonly Point[], x: Scale): string[] {
  const most = rates.reduce((highest, { value }) => Math.max(highest, value), 0)
  const y: Scale = (rate) => rateTop + (most > 0 ? 1 - rate / most : 1) * rateHeight
  const label = (value: number, at: number): string =>
    `<text x="${frame.left - 10}" y="${formatCoordinate(at + 4.5)}" text-anchor="end">${value === 0 ? 0 : Number(value.toPrecision(2)).toExponential()}</text>`
  return [
    `<path class="grid" d="M${frame.left} ${rateTop}h${plotWidth}"/>${most > 0 ? label(most, rateTop) : ''}${label(0, rateTop + rateHeight)}`,
    `<text x="${frame.left}" y="${rateTop - 9}">learning rate</text>`,
    `<path class="axis" d="M${frame.left} ${rateTop + rateHeight}h${plotWidth}"/>`,
    `<path class="rate" d="${drawPath(rates, x, y)}"/>`,
  ]
}

/** A legend below the title. */
function drawLegend(validated: boolean): string {
  const line = (name: string) => (at: number) => `<path class="${name}" d="M${at} 48h24"/>`
  const circle = (name: string, radius: number) => (at: number) =>
    `<circle class="${name}" cx="${at + 18}" cy="48" r="${radius}"/>`
  const entries = [
    { mark: line('raw'), text: 'each step' },
    { mark: line('mean'), text: 'average' },
  ]
  if (validated)
    entries.push(
      { mark: circle('dot', 4), text: 'validation' },
      { mark: circle('best', 7), text: 'the best' },
    )
  return entries
    .map(
      ({ mark, text }, i) =>
        `${mark(frame.left + i * 108)}<text x="${frame.left + i * 108 + 31}" y="52.5">${text}</text>`,
    )
    .join('')
}
