// Trains an expert that replaces a teacher for some of its captured calls: the expert learns most
// of the rows and is evaluated by the teacher's answers on the others, from which a router learns
// which calls the expert may answer. Expert and router are written together, atomically.

import { mkdir, mkdtemp, rename, rm, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { DataError, OptionError } from '../../base/errors.ts'
import { isRecord, readOptions } from '../../base/schema.ts'
import { evaluate } from '../../eval/index.ts'
import type { Metric } from '../../eval/metric.ts'
import { type Question, readQuestions } from '../../eval/questions.ts'
import type { RouteExample } from '../../route/router.ts'
import { findUserText } from '../../server/routing/request-text.ts'
import type { RawDataset } from '../../train/data/jsonl.ts'
import { splitRows } from '../../train/data/split-rows.ts'
import type { TrainEvent } from '../../train/events.ts'
import { loadAdapter } from '../adapters.ts'
import { readDataFile } from '../data.ts'
import { toStorageError } from '../files/system-errors.ts'
import type { LoadedModel } from '../model.ts'
import { readRoutedExpert } from '../route/list-experts.ts'
import { writeRouterFile } from '../route/router-path.ts'
import { train } from '../train.ts'
import { replaceFields, type ReplaceSettings } from './capture-options.ts'
import { type Gate, trainGate } from './train-gate.ts'

export interface ReplaceOptions extends Partial<ReplaceSettings> {
  readonly model: LoadedModel
  /** The file of rows. */
  readonly data: string
  /** A folder for the expert and the router; must not exist. */
  readonly out: string
  /** Judges an answer by the teacher's. */
  readonly metric: Metric
  readonly command?: string | undefined
  readonly signal?: AbortSignal | undefined
  readonly onEvent?: ((event: TrainEvent) => void) | undefined
}

export interface ReplaceReport extends Omit<Gate, 'file'> {
  readonly learned: number
  /** Calls that judged the expert, and how many of them it answered well. */
  readonly judged: number
  readonly good: number
  /** Calls that neither expert nor router has learned from. */
  readonly checked: number
  readonly expert: string
  readonly router: string
  /** The model that answered most of the captured calls. */
  readonly teacher: string | undefined
}

/** The expert's name in the router. */
export const studentName = 'student'

/** Fewer rows are not sufficient for training and evaluation. */
const leastRows = 20
/** Share of the judged calls that the router learns from; the others check it. */
const gateShare = 0.8

/**
 * Throws OptionError if `out` exists, DataError for fewer rows than can be split and where the
 * expert answers none of the calls well; what training and evaluating throw.
 */
export async function replaceCalls(options: ReplaceOptions): Promise<ReplaceReport> {
  const { model, data: path, out, metric, command, signal, onEvent, ...given } = options
  const settings = readOptions('Replacing calls', given, replaceFields)
  if (await stat(out).catch(() => undefined))
    throw new OptionError(`${out}: exists already. Choose a folder that does not exist yet.`)
  const data = await readDataFile(path)
  if (data.rows.length < leastRows)
    throw new DataError(
      `${path}: ${data.rows.length} calls are too few to learn from and to judge by; ${leastRows} are the least.`,
    )
  const place = await createPlace(out)
  try {
    const task = { model, metric, settings, command, signal, onEvent }
    const report = await makeReplacement(data, place, task)
    signal?.throwIfAborted()
    await rename(place, out)
    return Object.assign(report, {
      expert: join(out, studentName),
      router: join(out, 'router.json'),
    })
  } finally {
    await rm(place, { recursive: true, force: true })
  }
}

/** A temporary folder next to the final one. */
async function createPlace(out: string): Promise<string> {
  const parent = dirname(resolve(out))
  try {
    await mkdir(parent, { recursive: true })
    return await mkdtemp(join(parent, '.graft-replace-'))
  } catch (cause) {
    throw toStorageError(`${out}: cannot be written`, cause)
  }
}

interface ReplaceTask extends Pick<
  ReplaceOptions,
  'model' | 'metric' | 'command' | 'signal' | 'onEvent'
> {
  readonly settings: ReplaceSettings
}

async function makeReplacement(
  data: RawDataset,
  place: string,
  task: ReplaceTask,
): Promise<ReplaceReport> {
  const { model, metric, settings } = task
  const { held, seed, trust } = settings
  const { train: taught, validation: judging } = splitRows(data, held, seed)
  const folder = join(place, studentName)
  await trainStudent(taught, folder, task)
  const judged = await judgeStudent(judging, folder, task)
  const good = judged.filter(({ expert }) => expert !== undefined).length
  if (good === 0)
    throw new DataError(
      `${data.name}: the expert answers none of ${judged.length} calls as the teacher did (${metric.name} of at least ${settings.least}), so it can replace none. Train longer (--epochs), or capture more calls of fewer kinds.`,
    )
  const { sha256 } = await readRoutedExpert(folder, studentName)
  const cut = Math.floor(judged.length * gateShare)
  const parts = { model, expert: { name: studentName, sha256 }, trust, seed }
  const { file, ...gate } = await trainGate(judged.slice(0, cut), judged.slice(cut), parts)
  const router = join(place, 'router.json')
  await writeRouterFile(router, file)
  return Object.assign(gate, {
    learned: taught.rows.length,
    judged: judged.length,
    good,
    checked: judged.length - cut,
    expert: folder,
    router,
    teacher: findTeacher(data),
  })
}

async function trainStudent(
  data: RawDataset,
  out: string,
  { model, settings, command, signal, onEvent }: ReplaceTask,
): Promise<void> {
  const { epochs, learningRate, seed } = settings
  const options = { model, data, out, epochs, learningRate, seed, command }
  for await (const event of train(Object.assign(options, signal && { signal }))) onEvent?.(event)
  signal?.throwIfAborted()
}

/** Calls with the expert's name where it answered as the teacher did. */
async function judgeStudent(
  data: RawDataset,
  folder: string,
  { model, metric, settings, signal }: ReplaceTask,
): Promise<RouteExample[]> {
  const adapter = await loadAdapter(folder, { model })
  const { newTokens, least } = settings
  const { answers } = await evaluate({
    model,
    data,
    metrics: [metric],
    candidates: [{ name: studentName, adapter }],
    newTokens,
    signal,
  })
  const examples: RouteExample[] = []
  for (const [i, question] of readQuestions(data).entries()) {
    const { row, wanted } = question
    const { value, weight = 1 } = await metric.score({ row, wanted, answer: answers[0]![i]! })
    const isGood = weight > 0 && value / weight >= least
    examples.push({ text: findRequest(question), expert: isGood ? studentName : undefined })
  }
  return examples
}

/**
 * The text of a request that a served router reads: the last message of the user, or the prompt.
 */
function findRequest({ row }: Question): string {
  const { messages, prompt } = row
  const text = findUserText(
    Array.isArray(messages) ? messages : Array.isArray(prompt) ? prompt : [],
  )
  return text ?? (typeof prompt === 'string' ? prompt : '')
}

function findTeacher({ rows }: RawDataset): string | undefined {
  const counts = new Map<string, number>()
  for (const { value } of rows) {
    const captured = isRecord(value) ? value['captured'] : undefined
    const name = isRecord(captured) ? captured['model'] : undefined
    if (typeof name === 'string') counts.set(name, (counts.get(name) ?? 0) + 1)
  }
  return [...counts].toSorted((a, b) => b[1] - a[1])[0]?.[0]
}
