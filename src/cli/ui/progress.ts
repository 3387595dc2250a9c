// Shows the progress of work: share, rate, time left. Redrawn in place on a terminal, a new line
// every few seconds elsewhere.

import { formatDuration } from './format.ts'
import { measureWidth } from './table.ts'

export interface Progress {
  /** `done` of the total; `detail` is shown behind. Cheap to call often. */
  update(done: number, detail?: string): void
  /**
   * Clears the line on a terminal; elsewhere prints that it is finished. `summary` stays in its
   * place.
   */
  end(summary?: string): void
}

export interface ProgressOptions {
  readonly stream: {
    write(text: string): unknown
    readonly isTTY?: boolean | undefined
    readonly columns?: number | undefined
  }
  /** Milliseconds. */
  readonly now: () => number
  readonly label: string
  /** Undefined if it is unknown. */
  readonly total: number | undefined
}

const redrawMs = 100 // ten times a second looks smooth and costs nothing
const lineMs = 5_000 // in a log, a line every five seconds
const barCells = 24
const leastCells = 6 // a shorter bar shows nothing
const usualColumns = 80 // where the width is unknown; a terminal then reports 0
const windowMs = 15_000 // the rate is that of the last quarter of a minute,
const leastSamples = 8 // or of as many updates where they come slowly: single steps differ too much

interface Sample {
  readonly at: number
  readonly done: number
}

/** Units a second over the window; undefined until there are two measurements. */
function computeRecentRate(samples: readonly Sample[]): number | undefined {
  const first = samples[0]
  const last = samples.at(-1)
  if (!first || !last || last.at <= first.at || last.done <= first.done) return undefined
  return ((last.done - first.done) * 1000) / (last.at - first.at)
}

/** '████████░░░░' */
export function drawBar(share: number, cells: number = barCells): string {
  const full = Math.round(Math.min(1, Math.max(0, share)) * cells)
  return '█'.repeat(full) + '░'.repeat(cells - full)
}

/** Cuts a line to the terminal's width, so that redrawing stays on one line. */
function fitLine(line: string, columns: number): string {
  if (measureWidth(line) < columns) return line
  return `${line.slice(0, Math.max(0, columns - 2))}…`
}

export function createProgress({ stream, now, label, total }: ProgressOptions): Progress {
  const terminal = stream.isTTY === true
  const started = now()
  const samples: Sample[] = []
  let shownAt = -Infinity

  const lineOf = (done: number, detail: string, columns: number): string => {
    const speed = computeRecentRate(samples)
    const left =
      total !== undefined && speed !== undefined
        ? `${formatDuration((total - done) / speed)} left`
        : ''
    const percent =
      total === undefined || total === 0
        ? ''
        : `${String(Math.floor((100 * done) / total)).padStart(terminal ? 3 : 0)} %`
    const parts = [label, percent, detail, left].filter((part) => part !== '')
    if (!terminal || total === undefined || percent === '') return parts.join('  ')
    // The bar takes the room that the words leave: in a narrow terminal the figures stay.
    const room = columns - 2 - measureWidth(parts.join('  '))
    const cells = Math.min(barCells, room)
    if (cells < leastCells) return parts.join('  ')
    return parts
      .map((part, i) => (i === 1 ? `${drawBar(done / total, cells)} ${part}` : part))
      .join('  ')
  }
  return {
    update(done, detail = '') {
      const at = now()
      samples.push({ at, done })
      while (samples.length > leastSamples && at - samples[0]!.at > windowMs) samples.shift()
      if (at - shownAt < (terminal ? redrawMs : lineMs)) return
      shownAt = at
      const columns = stream.columns || usualColumns
      const line = lineOf(done, detail, columns)
      stream.write(terminal ? `\r${fitLine(line, columns)}\x1b[K` : `${line}\n`)
    },
    end(summary) {
      if (terminal) stream.write('\r\x1b[K')
      const said =
        summary ??
        (terminal ? undefined : `${label}  done in ${formatDuration((now() - started) / 1000)}`)
      if (said !== undefined) stream.write(`${said}\n`)
    },
  }
}
