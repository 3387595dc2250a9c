// A curve that grows while something is learned, as SVG: the values, their running mean, and values
// of held-back rows where there are some. Also writes the last value as text.

const namespace = 'http://www.w3.org/2000/svg'
const size = { width: 600, height: 160 } as const

export interface Point {
  readonly at: number
  readonly value: number
}

export interface Curve {
  readonly points: readonly Point[]
  /** Of rows that are held back. */
  readonly held?: readonly Point[]
  /** Where the right edge is; default: the last point. */
  readonly until?: number
}

/** Means of the last values, so that the eye sees the way and not the noise. */
function smoothPoints(points: readonly Point[]): Point[] {
  const keep = 1 - 1 / Math.max(3, points.length / 15)
  let mean = 0
  let weight = 0
  return points.map(({ at, value }) => {
    mean = keep * mean + (1 - keep) * value
    weight = keep * weight + (1 - keep)
    return { at, value: mean / weight }
  })
}

/** Replaces what is drawn in `svg`. */
export function drawCurve(svg: SVGSVGElement, { points, held = [], until }: Curve): void {
  const drawn = points.filter(({ value }) => Number.isFinite(value))
  const values = [...drawn, ...held].map(({ value }) => value)
  const most = Math.max(...values, 1e-9)
  const last = Math.max(until ?? 0, drawn.at(-1)?.at ?? 1, 1)
  const place = ({ at, value }: Point): string =>
    `${((at / last) * size.width).toFixed(1)} ${(size.height * (1 - value / most / 1.05)).toFixed(1)}`
  const path = (line: readonly Point[]): string =>
    line.length === 0 ? '' : `M${line.map(place).join('L')}`
  svg.setAttribute('viewBox', `0 0 ${size.width} ${size.height}`)
  svg.setAttribute('preserveAspectRatio', 'none')
  svg.setAttribute('role', 'img')
  svg.setAttribute('aria-label', describeCurve(drawn))
  const grid = [0, 0.5, 1].map((share) => `M0 ${share * size.height}H${size.width}`).join('')
  const lines = { grid, raw: path(drawn), smooth: path(smoothPoints(drawn)), held: path(held) }
  svg.replaceChildren(
    ...Object.entries(lines).map(([name, d]) => {
      const line = document.createElementNS(namespace, 'path')
      line.setAttribute('class', name)
      line.setAttribute('d', d)
      return line
    }),
  )
}

function describeCurve(points: readonly Point[]): string {
  if (points.length === 0) return 'A curve; there is no value yet'
  const first = points[0]!
  const last = points.at(-1)!
  return `A curve of ${points.length} values, from ${first.value.toFixed(3)} to ${last.value.toFixed(3)}`
}
