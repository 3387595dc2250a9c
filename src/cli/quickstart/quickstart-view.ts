// What graft quickstart prints: the task, scores, swaps and what to try next.

import { join } from 'node:path'
import type { LoadedModel } from '../../node/index.ts'
import { describePath } from '../shared/describe-path.ts'
import { formatDuration, formatParameterCount } from '../ui/format.ts'
import { formatTable, joinSideBySide } from '../ui/table.ts'
import type { Terminal } from '../ui/terminal.ts'
import type { Stages } from './stages.ts'
import type { SwapReport } from './swap.ts'
import type { Score, Task, TaskExample } from './task.ts'

export function showTask(
  { about }: Task,
  { train, test }: { train: readonly TaskExample[]; test: readonly TaskExample[] },
  { base }: LoadedModel,
  { say }: Terminal,
): void {
  const parameters = [...base.weights.tensors.values()].reduce(
    (sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1),
    0,
  )
  say(
    `  ${base.name}: ${formatParameterCount(parameters)} parameters, ${base.config.layers.length} layers`,
  )
  say(`  the task: ${about}; ${train.length} rows to learn from, ${test.length} others to judge on`)
}

const formatScore = ({ value, of }: Score): string =>
  of === undefined ? value.toFixed(3) : `${value}/${of}`

export function showScores(
  base: readonly Score[],
  expert: readonly Score[],
  { say, style }: Terminal,
): void {
  const rows = expert.map((score, i) => [
    `  ${score.name}`,
    formatScore(base[i]!),
    style.strong(formatScore(score)),
  ])
  say()
  for (const line of formatTable([['', 'base', 'expert'], ...rows], ['left', 'right', 'right']))
    say(line)
}

interface Side {
  readonly heading: string
  readonly text: string
}

/** Two answers to one prompt, side by side. */
export function showPair(
  prompt: string,
  left: Side,
  right: Side,
  { say, style, columns }: Terminal,
): void {
  say()
  say(`  ${style.strong(prompt)}`)
  for (const line of joinSideBySide(left, right, Math.min(columns, 120) - 4)) say(`    ${line}`)
}

export function showSwap(
  { swaps, same, swappedTokenMs, plainTokenMs }: SwapReport,
  { say, style }: Terminal,
): void {
  const verdict = same
    ? style.good('every text is the same, letter for letter, as when it is written alone')
    : style.bad('the texts differ from those written alone')
  say(`  expert and base took turns: ${swaps} swaps in the middle of two answers; ${verdict}`)
  say(
    `  a token took ${swappedTokenMs.toFixed(1)} ms right after a swap, ${plainTokenMs.toFixed(1)} ms without one; nothing was rebuilt`,
  )
}

/** A request that the served expert answers; models without a template complete a text. */
function writeCurl(prompt: string, { stop, maxTokens }: Task['answers']): string {
  const asked = stop
    ? { model: 'expert', prompt, stop, max_tokens: maxTokens }
    : { model: 'expert', messages: [{ role: 'user', content: prompt }] }
  const route = stop ? 'completions' : 'chat/completions'
  const body = JSON.stringify(asked).replaceAll("'", String.raw`'\''`)
  return `curl http://127.0.0.1:8080/v1/${route} -d '${body}'`
}

export function showEnd(
  { answers }: Task,
  out: string,
  stages: Stages,
  { prompt }: TaskExample,
  { say, style, graft }: Terminal,
): void {
  const folder = describePath(out)
  const stop = answers.stop?.[0] === undefined ? '' : ` --stop ${JSON.stringify(answers.stop[0])}`
  say()
  for (const line of formatTable(
    stages.done().map(({ name, seconds }) => [`  ${name}`, formatDuration(seconds)]),
    ['left', 'right'],
  ))
    say(line)
  say(`  ${style.strong(`all in ${formatDuration(stages.seconds())}`)}`)
  say()
  say(
    `The expert is in ${folder}, as PEFT would save it; its loss curve is ${join(folder, 'loss.svg')}.`,
  )
  say('next:')
  const next = [
    `${graft} run ${JSON.stringify(prompt)} --adapter ${folder}${stop}`,
    `${graft} chat --adapter ${folder}${stop}`,
    `${graft} serve --adapter expert=${folder}`,
    `${writeCurl(prompt, answers)}   # while it serves`,
    `${graft} train --help`,
  ]
  for (const line of next) say(`  ${style.accent(line)}`)
}
