// What graft batch does: checks a file of requests, answers them without a server, and writes a
// line for each. Each answer is written at once, so that a stopped run can be continued.

import { createReadStream } from 'node:fs'
import { appendFile, readFile, rm, stat } from 'node:fs/promises'
import { basename, dirname, resolve } from 'node:path'
import { DataError, NotFoundError, OptionError } from '../../base/errors.ts'
import { pickOptions } from '../../base/schema.ts'
import { createFileSink } from '../../node/files/file-sink.ts'
import { openServing, servingFields } from '../../node/serve/open-serving.ts'
import { answerLines, createAsk, Turnstile } from '../../server/api/batches/answer-lines.ts'
import {
  type BatchRequest,
  type BatchResult,
  checkBatchLines,
  Fault,
  isAnswered,
  parseBatchLine,
  readNumberedLines,
} from '../../server/api/batches/batch-lines.ts'
import { collectResults, encodeLines } from '../../server/api/batches/batch-results.ts'
import { createServer } from '../../server/app.ts'
import type { Context } from '../command.ts'
import type { batchOptions } from './batch-options.ts'
import { chooseServed } from './choose-served.ts'
import { type ServeValues, toServerSettings } from './server-options.ts'

type BatchContext = Context<typeof batchOptions>

const readLines = (path: string) => readNumberedLines(createReadStream(path))

export async function answerFile(context: BatchContext): Promise<unknown> {
  const { values, positionals, terminal, signal, setExitCode } = context
  const input = resolve(positionals[0]!)
  const out = resolve(values.out)
  const part = `${out}.part`
  await checkPlaces(out, part, values.resume)
  const total = await countRequests(input, positionals[0]!)
  const done = new Map<string, BatchResult>()
  for (const result of await readPart(part)) done.set(result.custom_id, result)
  const progress = terminal.progress('answered', total)
  progress.update(done.size)
  try {
    await answerRequests(context, {
      requests: listRequests(input, done),
      onResult: async (result) => {
        await appendFile(part, `${JSON.stringify(result)}\n`)
        done.set(result.custom_id, result)
        progress.update(done.size)
      },
    })
  } catch (error) {
    if (!signal.aborted) throw error
    progress.end()
    terminal.note(
      `${done.size} of ${total} are answered; the same command with --resume continues.`,
    )
    setExitCode(130)
    return { out: part, total, answered: done.size }
  }
  progress.end()
  return writeResults(context, { input, out, part, done })
}

/** Nothing is overwritten, and nothing that an earlier run answered is forgotten. */
async function checkPlaces(out: string, part: string, isResumed: boolean): Promise<void> {
  const isThere = async (path: string): Promise<boolean> =>
    (await stat(path).catch(() => undefined)) !== undefined
  if (await isThere(out)) throw new OptionError(`--out ${out}: exists already.`)
  if (!isResumed && (await isThere(part)))
    throw new OptionError(
      `${part}: an earlier run was stopped. Continue with --resume, or remove the file.`,
    )
}

/** Throws DataError that names every wrong line. */
async function countRequests(path: string, given: string): Promise<number> {
  if (!(await stat(path).catch(() => undefined))?.isFile())
    throw new NotFoundError(`${given}: there is no such file.`)
  const { total, problems } = await checkBatchLines(readLines(path), undefined)
  if (problems.length === 0) return total
  throw new DataError(`${given}: ${problems.map(({ message }) => message).join('\n  ')}`)
}

/** The whole lines of an earlier run; one that was cut is removed. */
async function readPart(path: string): Promise<BatchResult[]> {
  const text = await readFile(path, 'utf8').catch(() => '')
  const whole = text.slice(0, text.lastIndexOf('\n') + 1)
  if (whole !== text)
    await createFileSink(dirname(path)).write(basename(path), [new TextEncoder().encode(whole)])
  return whole
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as BatchResult)
}

async function* listRequests(
  path: string,
  done: ReadonlyMap<string, BatchResult>,
): AsyncGenerator<BatchRequest> {
  for await (const { text } of readLines(path)) {
    const request = parseBatchLine(text, undefined)
    if (!(request instanceof Fault) && !done.has(request.customId)) yield request
  }
}

const createId = (): string => `batch_req_${crypto.randomUUID().replaceAll('-', '')}`

async function answerRequests(
  { values, terminal, signal, version }: BatchContext,
  work: {
    readonly requests: AsyncIterable<BatchRequest>
    readonly onResult: (result: BatchResult) => Promise<void>
  },
): Promise<void> {
  const served = await chooseServed(values.model, values, terminal)
  const settings = toServerSettings(values as unknown as ServeValues)
  const fields: Readonly<Record<string, unknown>> = servingFields
  const own = pickOptions(settings, fields)
  const serving = await openServing(Object.assign({}, own, served, { isolation: 'none' as const }))
  try {
    const server = createServer({ service: serving.service, version })
    const atATime = values['at-a-time']
    await answerLines(work.requests, {
      ask: createAsk(server.fetch),
      turnstile: new Turnstile(atATime),
      atATime,
      createId,
      signal,
      onResult: work.onResult,
    })
  } finally {
    await serving.close()
  }
}

/** All results in the order of the input, at once. */
async function writeResults(
  { terminal, setExitCode }: BatchContext,
  {
    input,
    out,
    part,
    done,
  }: {
    readonly input: string
    readonly out: string
    readonly part: string
    readonly done: ReadonlyMap<string, BatchResult>
  },
): Promise<unknown> {
  const results: BatchResult[] = []
  for await (const { customId } of listRequests(input, new Map())) results.push(done.get(customId)!)
  await createFileSink(dirname(out)).write(basename(out), encodeLines(results))
  await rm(part, { force: true })
  const { usage } = collectResults(
    results.map(({ custom_id: id }) => id),
    results.map((result) => JSON.stringify(result)),
    { end: 'completed', createId },
  )
  const failed = results.filter((result) => !isAnswered(result)).length
  const tokens = usage.inputTokens + usage.outputTokens
  terminal.say(`${results.length - failed} answered, ${failed} refused, ${tokens} tokens: ${out}`)
  if (failed > 0) setExitCode(1)
  return { out, total: results.length, answered: results.length - failed, failed, usage }
}
