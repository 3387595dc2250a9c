// What graft learn export does: reads users' turns from their store and writes them as rows.

import { basename, dirname } from 'node:path'
import { getExpertText, type ExpertText } from '../../adapters/files/expert-text.ts'
import { openBaseModel } from '../../graph/base-model.ts'
import { buildRows, judgeTurns } from '../../learn/export/export-rows.ts'
import type { RowForm } from '../../learn/export/export-rows.ts'
import { createFileSink } from '../../node/files/file-sink.ts'
import { collectTurns } from '../../node/improve/collect-turns.ts'
import { resolveModel } from '../../node/models/resolve.ts'
import { getStateDirectory, getUsersFile } from '../../node/serve/state/open-state.ts'
import { createExpertKeys } from '../../runtime/engine/pool/expert-key.ts'
import {
  parseRedaction,
  redactValue,
  type RedactionCounts,
} from '../../server/capture/redaction.ts'
import { openStore } from '../learn/learn-users.ts'
import { defaultModel, findExpert } from '../shared/open-model.ts'
import type { Terminal } from '../ui/terminal.ts'

interface ExportValues {
  readonly user: readonly string[] | undefined
  readonly store: string | undefined
  readonly as: RowForm
  readonly model: string | undefined
  readonly adapter: string | undefined
  readonly redact: string
  readonly out: string | undefined
}

/** Where graft serve --learn keeps its users. */
export const getServedUsers = (): string => getUsersFile(getStateDirectory())

interface Reader {
  readonly base: string
  readonly text: ExpertText
  /** The hash of the expert's content; undefined: any expert. */
  readonly experts: ReadonlySet<string> | undefined
}

/** The base's tokenizer without its weights, or the expert's own. */
async function openReader(
  { model, adapter }: Pick<ExportValues, 'model' | 'adapter'>,
  terminal: Terminal,
): Promise<Reader> {
  const found = adapter === undefined ? undefined : await findExpert(adapter, terminal)
  const source = model ?? (await found?.findBase()) ?? defaultModel
  const base = await openBaseModel(await resolveModel(source, {}), {})
  const expert = await found?.load({ base })
  return {
    base: await base.identity(),
    text: getExpertText(base, expert),
    experts: expert && new Set([await createExpertKeys().hash(expert)]),
  }
}

export async function exportTurns(values: ExportValues, terminal: Terminal): Promise<object> {
  const { user: users, as, out } = values
  const rules = parseRedaction(values.redact)
  const { base, text, experts } = await openReader(values, terminal)
  const store = await openStore(values.store ?? getServedUsers())
  try {
    const histories = await collectTurns(store, { users, base, experts })
    const turns = histories.flatMap((history) => history.turns)
    const { judged, unread, undecided } = judgeTurns(turns, text)
    const redacted: RedactionCounts = {}
    const rows = buildRows(judged, as).map((row) => redactValue(row, rules, redacted) as object)
    await writeRows(rows, out, terminal)
    const names = new Set(histories.map((history) => history.user))
    const notes = [
      unread > 0 && `${unread} turns left out: their prompts contain more than a chat's messages`,
      undecided > 0 && `${undecided} turns left out: they were rated neither good nor bad`,
      ...Object.entries(redacted).map(([rule, count]) => `${count} ${rule} taken out`),
    ].filter((note) => note !== false)
    for (const note of notes) terminal.note(note)
    if (rows.length === 0)
      terminal.note(
        `${store.name} contains no turn of this base that gives a row; --as ${as === 'pairs' ? 'judged takes single answers' : 'pairs and judged take others'}.`,
      )
    return {
      rows: rows.length,
      turns: turns.length,
      users: names.size,
      unread,
      undecided,
      redacted,
      out: out ?? null,
    }
  } finally {
    await store.close()
  }
}

async function writeRows(
  rows: readonly object[],
  out: string | undefined,
  terminal: Terminal,
): Promise<void> {
  const text = rows.map((row) => `${JSON.stringify(row)}\n`).join('')
  if (out === undefined) return terminal.write(text)
  await createFileSink(dirname(out)).write(basename(out), [new TextEncoder().encode(text)])
  terminal.print(`${rows.length} ${rows.length === 1 ? 'row is' : 'rows are'} in ${out}`)
}
