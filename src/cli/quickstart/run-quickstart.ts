// graft quickstart: the main job from end to end on real data. Evaluates the base, trains an
// expert, evaluates it on rows outside the training set, swaps it in and out during generation, and
// saves it.

import { join } from 'node:path'
import { NotFoundError } from '../../base/errors.ts'
import type { Adapter } from '../../index.ts'
import type { LoadedModel } from '../../node/index.ts'
import { composePrompt } from '../../runtime/chat-prompt.ts'
import { defaultModel, openModel } from '../shared/open-model.ts'
import { generateAnswers } from './answers.ts'
import { intentTask } from './intent-task.ts'
import { type QuickstartContext, quickRows, smallModel } from './quickstart-options.ts'
import { createStages, type Stages } from './stages.ts'
import { swapLive, type SwapReport } from './swap.ts'
import type { Score, Task, TaskExample } from './task.ts'
import { showEnd, showPair, showScores, showSwap, showTask } from './quickstart-view.ts'
import { selectTask } from './task-table.ts'
import { showTraining } from '../train/training-view.ts'

/** Runs the stages; returns what --json prints. */
export async function runQuickstart(context: QuickstartContext) {
  const { terminal, values, setExitCode } = context
  const stages = createStages(terminal)
  const model = await stages.run('load', 'the base model', () => loadBase(context))
  const task = selectTask(model.base)
  const rows = await loadExamples(task, values)
  showTask(task, rows, model, terminal)
  const before = await judge(stages, 'base', undefined, { model, task, rows: rows.test, context })
  const adapter = await stages.run('train', `an expert on ${rows.train.length} rows`, () =>
    trainExpert(model, task, rows.train, context),
  )
  if (adapter === undefined) {
    setExitCode(1)
    return { stopped: true, out: values.out, stages: stages.done() }
  }
  const after = await judge(stages, 'expert', adapter, { model, task, rows: rows.test, context })
  showScores(before.scores, after.scores, terminal)
  await showExamples(rows.test, after.answers, { model, task, context })
  const swap = await stages.run('swap', 'expert → base → expert within one text', () =>
    runSwap(model, task, rows.test[0]!, adapter, context),
  )
  showSwap(swap, terminal)
  showEnd(task, values.out, stages, rows.test[0]!, terminal)
  const { swaps, same, swappedTokenMs, plainTokenMs } = swap
  return {
    model: model.base.name,
    task: task.name,
    trainRows: rows.train.length,
    testRows: rows.test.length,
    base: toScoreValues(before.scores),
    expert: toScoreValues(after.scores),
    swap: { swaps, same, swappedTokenMs, plainTokenMs },
    out: values.out,
    stages: stages.done(),
    seconds: stages.seconds(),
  }
}

/**
 * The named model; without a name the default one, or the embedded one where that model or its task
 * cannot be found.
 */
async function loadBase({ values, terminal }: QuickstartContext): Promise<LoadedModel> {
  if (values.model !== undefined) return openModel(values.model, values, terminal)
  try {
    const missing = intentTask.missing()
    if (missing !== undefined) throw new NotFoundError(missing)
    return await openModel(defaultModel, values, terminal)
  } catch (error) {
    if (!(error instanceof NotFoundError)) throw error
    terminal.note(
      `${error.message}\n\nContinuing with the embedded model ${smallModel}, and with a task that it can learn.`,
    )
    return openModel(smallModel, values, terminal)
  }
}

async function loadExamples(task: Task, values: QuickstartContext['values']) {
  const missing = task.missing()
  if (missing !== undefined)
    throw new NotFoundError(`${missing} Continue with --model ${smallModel}.`)
  const { train, test } = await task.examples()
  const usual = values.quick ? quickRows : task.usualRows
  return {
    train: train.slice(0, values.rows ?? usual.train),
    test: test.slice(0, values['test-rows'] ?? usual.test),
  }
}

interface JudgeOptions {
  readonly model: LoadedModel
  readonly task: Task
  readonly rows: readonly TaskExample[]
  readonly context: QuickstartContext
}

async function judge(
  stages: Stages,
  who: 'base' | 'expert',
  adapter: Adapter | undefined,
  { model, task, rows, context }: JudgeOptions,
) {
  const { terminal, signal } = context
  return stages.run(`judge ${who}`, `on ${rows.length} rows`, async () => {
    const answers = await generateAnswers(model, task, rows, {
      adapter,
      signal,
      terminal,
      label: '  answering',
    })
    return { answers, scores: task.score(answers, rows) }
  })
}

async function trainExpert(
  model: LoadedModel,
  task: Task,
  rows: readonly TaskExample[],
  { terminal, signal, values }: QuickstartContext,
): Promise<Adapter | undefined> {
  const { train } = await import('../../node/index.ts')
  const { system, config, training } = task
  const events = train({
    ...training,
    model,
    data: rows,
    adapter: { kind: 'lora', config },
    out: values.out,
    overwrite: true,
    seed: values.seed,
    signal,
    ...(system !== undefined && { system }),
  })
  const end = await showTraining(events, terminal)
  if (end.reason !== 'stopped') return end.adapter
  terminal.say(`  stopped; the checkpoint is in ${join(values.out, 'checkpoints')}`)
  return undefined
}

const toScoreValues = (scores: readonly Score[]): Record<string, number> =>
  Object.fromEntries(scores.map(({ name, value }) => [name, value]))

/**
 * The first row that the expert has right, with the base's whole answer to it; then the first that
 * the expert has wrong, with the wanted answer.
 */
async function showExamples(
  rows: readonly TaskExample[],
  expert: readonly string[],
  { model, task, context }: Omit<JudgeOptions, 'rows'>,
): Promise<void> {
  const isRight = rows.map((row, i) => task.isRight(expert[i]!, row))
  const right = Math.max(0, isRight.indexOf(true))
  const { maxTokens, stop = [] } = task.answers
  const prompt = model.encode(composePrompt(model, rows[right]!.prompt, task.system))
  const [base] = await model.generateBatch([prompt], { maxTokens, stop, signal: context.signal })
  const judged = (name: string, is: boolean): string => `${name}, ${is ? 'right' : 'wrong'}`
  showPair(
    rows[right]!.prompt,
    {
      heading: judged('base', task.isRight(base!.text, rows[right]!)),
      text: base!.text.trim(),
    },
    { heading: judged('expert', isRight[right]!), text: expert[right]!.trim() },
    context.terminal,
  )
  const wrong = isRight.indexOf(false)
  if (wrong < 0 || wrong === right) return
  showPair(
    rows[wrong]!.prompt,
    { heading: judged('expert', false), text: expert[wrong]!.trim() },
    { heading: 'wanted', text: rows[wrong]!.completion.trim() },
    context.terminal,
  )
}

function runSwap(
  model: LoadedModel,
  task: Task,
  { prompt }: TaskExample,
  adapter: Adapter,
  { signal, terminal }: QuickstartContext,
): Promise<SwapReport> {
  const { maxTokens, stop } = task.answers
  const settings = { maxTokens, signal, now: terminal.now, ...(stop && { stop }) }
  return swapLive(model, composePrompt(model, prompt, task.system), adapter, settings)
}
