// Keeps what an evaluation measured in the expert.json of the expert's folder.

import { cpus } from 'node:os'
import { stat } from 'node:fs/promises'
import { basename, join, relative, resolve, sep } from 'node:path'
import type { Expert } from '../../adapters/index.ts'
import type { Evaluation } from '../../eval/index.ts'
import type { LoadedModel } from '../../node/index.ts'
import type { ManifestScores } from '../../node/run-folder.ts'
import type { ExpertManifest } from '../../registry/manifest/manifest-fields.ts'
import type { Prompt } from '../../runtime/index.ts'
import type { Terminal } from '../ui/terminal.ts'

type Figures = NonNullable<ExpertManifest['figures']>

/** The last candidate's figures by metric, with their 95 % intervals. */
export const toManifestScores = ({ metricResults }: Evaluation, data: string): ManifestScores =>
  Object.fromEntries(
    metricResults.map(({ metric, results }) => {
      const { value, low, high, rows } = results.at(-1)!
      return [metric, { value, low, high, rows, data: basename(data) }]
    }),
  )

/**
 * Writes scores and figures into a folder's expert.json and prints the path, or the reason why not:
 * content of a registry and signed folders never change.
 */
export async function keepScores(
  folder: string,
  scores: ManifestScores,
  figures: Figures,
  terminal: Terminal,
): Promise<void> {
  if (!(await stat(folder).catch(() => undefined))?.isDirectory()) return
  const reason = await findReasonToLeave(folder)
  if (reason !== undefined) return terminal.note(`${folder}: the scores are not kept: ${reason}.`)
  const { addManifestScores } = await import('../../node/run-folder.ts')
  if (await addManifestScores(folder, scores, figures))
    terminal.note(`The scores are in ${join(folder, 'expert.json')}.`)
}

async function findReasonToLeave(folder: string): Promise<string | undefined> {
  const isThere = async (name: string) =>
    (await stat(join(folder, name)).catch(() => undefined)) !== undefined
  if (await isThere('expert.sig')) return 'the folder is signed'
  if (!(await isThere('expert.json')))
    return 'it has no expert.json, which graft experts migrate writes'
  const { getRegistryDirectory } = await import('../../node/registry/registry-directory.ts')
  const path = relative(resolve(getRegistryDirectory()), resolve(folder))
  return path.startsWith('..') || path.startsWith(sep) ? undefined : 'it belongs to a registry'
}

const answerTokens = 64

/** Milliseconds to the first token and tokens per second of one answer, and the machine. */
export async function measureAnswer(
  model: LoadedModel,
  prompt: Prompt,
  adapter: Expert | undefined,
): Promise<Figures> {
  for await (const event of model.generate(prompt, {
    adapter,
    maxTokens: answerTokens,
    minTokens: answerTokens,
    cache: false,
  }))
    if (event.type === 'generation-end')
      return {
        firstTokenMs: roundFigure(event.promptMs),
        tokensPerSecond: roundFigure(event.tokensPerSecond),
        machine: describeMachine(),
      }
  return {}
}

const roundFigure = (value: number): number => Math.round(value * 100) / 100

function describeMachine(): string {
  const list = cpus()
  return `${list[0]?.model.trim() ?? 'unknown'}, ${list.length} cores`
}
