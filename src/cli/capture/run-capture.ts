// What graft capture does: starts the proxy, counts recorded and skipped calls, and shuts down
// cleanly.

import { startCapture } from '../../node/capture/start-capture.ts'
import type { CaptureOutcome } from '../../server/capture/create-capture.ts'
import type { Terminal } from '../ui/terminal.ts'

interface CaptureValues {
  readonly upstream: string
  readonly out: string
  readonly consent: 'ask' | 'assume' | undefined
  readonly redact: string
  readonly 'redact-pattern': readonly string[] | undefined
  readonly host: string
  readonly port: number
}

interface Counts {
  kept: number
  readonly leftOut: Record<string, number>
  failed: number
}

/** Counts a call; a write error is reported at once, because rows are lost from then on. */
function countCall(counts: Counts, outcome: CaptureOutcome, terminal: Terminal): void {
  if (outcome.type === 'kept') counts.kept += outcome.rows
  else if (outcome.type === 'left-out')
    counts.leftOut[outcome.reason] = (counts.leftOut[outcome.reason] ?? 0) + 1
  else {
    counts.failed++
    const { error } = outcome
    terminal.note(`A call was not kept: ${error instanceof Error ? error.message : String(error)}`)
  }
}

function describeCounts({ kept, leftOut, failed }: Counts, out: string): string[] {
  const reasons = Object.entries(leftOut).map(([reason, calls]) => `  ${calls} left out: ${reason}`)
  return [
    `${kept} ${kept === 1 ? 'row' : 'rows'} added to ${out}`,
    ...reasons,
    ...(failed > 0 ? [`  ${failed} not kept, because rows could not be written`] : []),
  ]
}

export async function runCapture(
  values: CaptureValues,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<object> {
  const counts: Counts = { kept: 0, leftOut: {}, failed: 0 }
  const { upstream, out, consent, redact, host, port } = values
  const capture = await startCapture({
    upstream,
    out,
    consent,
    redact,
    host,
    port,
    redactPatterns: values['redact-pattern'],
    onCall: (outcome) => countCall(counts, outcome, terminal),
  })
  const asked =
    consent !== 'assume'
      ? "only calls with the header 'x-graft-consent: yes' are kept"
      : "all calls are kept but those with the header 'x-graft-consent: no'"
  for (const line of [
    `Passing ${terminal.style.strong(`${capture.url}/v1`)} on to ${upstream}`,
    `  ${asked}; rows go to ${out}, without ${redact === 'none' ? 'any redaction' : `what these rules find: ${redact}`}`,
    '',
    terminal.style.faint('In a program (npm install openai), with its own key:'),
    `  new OpenAI({ baseURL: '${capture.url}/v1', defaultHeaders: { 'x-graft-consent': 'yes' } })`,
    '',
    terminal.style.faint('Ctrl-C stops it.'),
  ])
    terminal.say(line)
  await new Promise<void>((stop) => {
    if (signal.aborted) stop()
    signal.addEventListener('abort', () => stop(), { once: true })
  })
  await capture.close()
  for (const line of describeCounts(counts, out)) terminal.print(line)
  return {
    url: capture.url,
    out,
    rows: counts.kept,
    leftOut: counts.leftOut,
    failed: counts.failed,
  }
}
