// Answers of a model to the prompts of a data set, compared with what the rows say: exact match, and JSON where the rows hold JSON.

import type { ChatMessage, Prompt } from '../../index.ts'
import type { Example } from '../../train/data/format.ts'
import { readExamples } from '../../train/data/formats.ts'
import { DataError } from '../../base/errors.ts'
import { promptFor } from '../../runtime/ask.ts'
import { sameJson } from '../snips.ts'
import type { EvaluationOptions } from './loss.ts'

interface Question {
  readonly prompt: Prompt
  readonly wanted: string
}

const together = 16 // answers that are written at once: enough for speed, few enough for memory

/** Share of equal answers, of valid JSON and of equal JSON; null for the last two where the rows do not hold JSON. Throws DataError for plain text. */
export async function scoreAnswers(options: EvaluationOptions & { readonly stop?: readonly string[] }) {
  const { model, adapter, data, maxTokens, stop = [], terminal, signal } = options
  const questions = readExamples(data).examples.map(({ number, example }) => questionOf(example, number, options))
  const progress = terminal.progress('answers', questions.length)
  const answers: string[] = []
  for (let start = 0; start < questions.length; start += together) {
    progress.update(start)
    const prompts = questions.slice(start, start + together).map(({ prompt }) => prompt)
    answers.push(...(await model.generateBatch(prompts, { adapter, maxTokens, stop, signal })).map(({ text }) => text))
  }
  progress.end()
  return compared(answers, questions.map(({ wanted }) => before(wanted, stop))) // prettier-ignore
}

/** The text up to the first stop text: an answer ends there, so a row is compared up to there. */
function before(text: string, stops: readonly string[]): string {
  const places = stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0)
  return text.slice(0, Math.min(text.length, ...places))
}

function questionOf(example: Example, number: number, options: EvaluationOptions): Question {
  if (example.kind === 'pair') return questionOf(example.chosen, number, options)
  const { model, system, data } = options
  if (example.kind === 'text') throw new DataError(`${data.name}: row ${number} is plain text, which asks nothing; leave out --generate.`)
  if (example.kind === 'completion') {
    const text = model.base.chatTemplate === undefined ? (example.plainPrompt ?? example.prompt) : example.prompt
    return { prompt: promptFor(model, text, example.system ?? system), wanted: example.completion }
  }
  const { messages } = example
  const last = messages.findLastIndex(({ role }) => role === 'assistant')
  const earlier: readonly ChatMessage[] = messages.slice(0, last)
  const hasSystem = earlier[0]?.role === 'system' || system === undefined
  return { prompt: hasSystem ? earlier : [{ role: 'system', content: system }, ...earlier], wanted: String(messages[last]!.content) }
}

const parsed = (text: string): { value: unknown } | undefined => {
  try {
    return { value: JSON.parse(text) }
  } catch {
    return undefined
  }
}

/** Shares from 0 to 1. White space around texts does not count, nor does the order of keys in JSON. */
export function compared(answers: readonly string[], wanted: readonly string[]) {
  const share = (fits: (answer: string, i: number) => boolean): number => answers.filter(fits).length / Math.max(1, answers.length)
  const targets = wanted.map(parsed)
  const areJson = targets.every((target) => typeof target?.value === 'object')
  return {
    exactMatch: share((answer, i) => answer.trim() === wanted[i]!.trim()),
    validJson: areJson ? share((answer) => parsed(answer) !== undefined) : null,
    equalJson: areJson ? share((answer, i) => sameJson(parsed(answer)?.value, targets[i]!.value)) : null,
  }
}
