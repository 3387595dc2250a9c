// Answers requests with an engine: writes and checks the prompts, queues every answer, and merges
// their events into one stream.

import type { Expert } from '../../adapters/serving/mixture.ts'
import type { GrammarChoice } from '../../formats/grammar/grammar-choice.ts'
import type { EngineRequest, EngineSequence } from '../../runtime/engine/engine.ts'
import { createLeavable } from '../../runtime/worker/leavable.ts'
import { RequestError } from '../request-error.ts'
import type { AnswerEvent, AnswerRequest, PlainPrompt } from '../service.ts'
import { addLearnedAnswers, isLearned } from './add-learned.ts'
import type { AnswererParts, AnswerPlan } from './answer-plan.ts'
import { type AnswerReader, createAnswerReader } from './answer-reader.ts'
import type { AnswerForm } from './chat-form.ts'
import { convertEvent } from './convert-event.ts'
import { mergeStreams } from './merge-streams.ts'
import { getTokenTexts } from './token-texts.ts'
import type { PromptWriter, WrittenPrompt } from './write-prompt.ts'

export type Answerer = (
  request: AnswerRequest,
  signal?: AbortSignal,
) => AsyncGenerator<AnswerEvent, void>

export const createAnswerer =
  (parts: AnswererParts): Answerer =>
  (request, outer) =>
    createLeavable(outer, (signal) => answerRequest(request, parts, signal))

async function* answerRequest(
  request: AnswerRequest,
  parts: AnswererParts,
  signal: AbortSignal,
): AsyncGenerator<AnswerEvent, void> {
  signal.throwIfAborted()
  const plan = planAnswers(request, parts)
  const sequences = await addAnswers(plan, parts, signal)
  const readers = createReaders(plan, parts.createId)
  try {
    yield describeStart(plan)
    const streams = sequences.map(({ events }) => events)
    for await (const [index, event] of mergeStreams(streams)) {
      if (event.type === 'generation-end') {
        parts.experts.countAnswer(plan.chosen.names, event.ids.length)
        const { responseId: id } = request
        const answered = id === undefined ? undefined : { id, index }
        await plan.learned.get(index)?.finish(event, answered)
      }
      yield* convertEvent(event, index, sequences[index]!.newTokens, plan, readers[index])
    }
  } finally {
    for (const sequence of sequences) sequence.cancel(signal.aborted ? signal.reason : undefined)
    releaseLearned(plan)
  }
}

const describeStart = ({ chosen: { spec, model }, prompts, seed }: AnswerPlan): AnswerEvent => ({
  type: 'start',
  expert: spec,
  model,
  promptTokens: prompts.map(({ ids }) => ids.length),
  promptTexts: prompts.map(({ text }) => text),
  seed,
})

/** Throws for everything that is wrong with a request; then nothing is queued. */
function planAnswers(request: AnswerRequest, parts: AnswererParts): AnswerPlan {
  const { chooser, writer, createSeed } = parts
  const chosen = chooser.choose(request)
  const { reader, system } = chosen
  const prompts = request.conversation
    ? [writer.writeConversation(request.conversation, reader, system)]
    : (request.prompts ?? []).map((prompt) => writePlain(prompt, request, writer, reader))
  for (const [i, { ids }] of prompts.entries())
    checkLength(ids, request, parts.contextTokens, prompts.length > 1 ? i : undefined)
  const needsTexts = request.logprobs !== undefined || request.promptLogprobs !== undefined
  return {
    request,
    chosen,
    prompts,
    seed: request.seed ?? createSeed(),
    told: new Set(),
    learned: new Map(),
    texts: needsTexts ? getTokenTexts(writer.getTokenizer(reader)) : undefined,
  }
}

function writePlain(
  prompt: PlainPrompt,
  { echoes }: AnswerRequest,
  writer: PromptWriter,
  reader: Expert | undefined,
): WrittenPrompt {
  const ids = writer.encode(prompt, reader)
  const isText = typeof prompt === 'string'
  const text = isText ? prompt : echoes ? writer.getTokenizer(reader).decode(ids) : ''
  return { ids, text, stop: [], isBegun: true }
}

/** Throws RequestError with both numbers for a prompt that leaves no room. */
function checkLength(
  { length }: readonly number[],
  { maxTokens, conversation }: AnswerRequest,
  contextTokens: number,
  index: number | undefined,
): void {
  const param = conversation ? 'messages' : index === undefined ? 'prompt' : `prompt.${index}`
  if (length === 0)
    throw new RequestError('The prompt is empty: a model needs at least one token to continue.', {
      param,
      code: 'invalid_value',
    })
  if (length + Math.min(1, maxTokens ?? 1) <= contextTokens) return
  throw new RequestError(
    `The prompt has ${length} tokens; the model's context has ${contextTokens}, including the answer. Shorten the prompt.`,
    {
      type: 'exceed_context_size_error',
      code: 'context_length_exceeded',
      param,
      details: { n_prompt_tokens: length, n_ctx: contextTokens },
    },
  )
}

function releaseLearned({ learned }: AnswerPlan): void {
  for (const answer of learned.values()) answer.release()
}

async function addAnswers(
  plan: AnswerPlan,
  parts: AnswererParts,
  signal: AbortSignal,
): Promise<EngineSequence[]> {
  const { request, prompts } = plan
  const { engine } = parts
  const sequences: EngineSequence[] = []
  try {
    for (const [p, prompt] of prompts.entries()) {
      const asked = toEngineRequest(plan, prompt, p * request.copies, parts, signal)
      sequences.push(
        ...(isLearned(plan, parts)
          ? await addLearnedAnswers(plan, asked, parts)
          : await engine.addCopies(asked, request.copies)),
      )
    }
  } catch (error) {
    for (const sequence of sequences) sequence.cancel(error)
    releaseLearned(plan)
    throw error
  } finally {
    void engine.run()
  }
  return sequences
}

function toEngineRequest(
  { request, chosen, seed }: AnswerPlan,
  { ids, stop, isBegun, form }: WrittenPrompt,
  index: number,
  { maxTokens: most, contextTokens }: AnswererParts,
  signal: AbortSignal,
): EngineRequest {
  const { sampling, logprobs, promptLogprobs, minTokens, tenant, grammar } = request
  const maxTokens = Math.min(request.maxTokens ?? contextTokens, most ?? contextTokens)
  return {
    ...sampling,
    prompt: ids,
    adapter: chosen.spec,
    index,
    seed,
    maxTokens,
    minTokens: Math.min(minTokens ?? 0, maxTokens),
    stop: [...request.stop, ...stop],
    tenant,
    grammar: chooseGrammar(grammar, form),
    keepTokens: form?.keepTokens,
    continuesText: isBegun,
    speculate: request.speculate,
    logprobs,
    promptLogprobs,
    // Texts are scored by the same numbers as `graft eval`.
    exact: promptLogprobs !== undefined,
    signal,
  }
}

/** A grammar for the whole answer and required calls exclude each other. */
function chooseGrammar(
  asked: GrammarChoice | undefined,
  form: AnswerForm | undefined,
): GrammarChoice | undefined {
  if (asked && form?.grammar)
    throw new RequestError(
      'response_format defines the whole answer, and the tools require calls: give one of them.',
      { param: 'response_format', code: 'invalid_value' },
    )
  return asked ?? form?.grammar
}

/** One reader for each answer of a conversation. */
const createReaders = (
  { request, prompts }: AnswerPlan,
  createId: () => string,
): readonly (AnswerReader | undefined)[] =>
  prompts.flatMap(({ form }) =>
    Array.from({ length: request.copies }, () =>
      form ? createAnswerReader(form.createParser(), form.isCertain, createId) : undefined,
    ),
  )
