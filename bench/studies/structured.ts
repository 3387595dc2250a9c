// The cost of grammars: the time of a token compared with a free answer, the first token after a
// schema that was never compiled, and how often a grammar leaves one token only.

import {
  type Benchmark,
  type BenchmarkContext,
  type BenchmarkRow,
  toBenchmarkRow,
} from '../../src/cli/bench/benchmark.ts'
import type { GrammarChoice } from '../../src/formats/grammar/grammar-choice.ts'
import { openGrammarLibrary } from '../../src/node/grammar/open-library.ts'
import { type LoadedModel, loadModel } from '../../src/node/index.ts'
import { hasBit } from '../../src/runtime/decode/processors/grammar-mask.ts'
import { createLocalHost } from '../../src/runtime/grammar/local-host.ts'
import { openMatchers } from '../../src/runtime/grammar/open-matchers.ts'
import type { Generation } from '../../src/runtime/index.ts'

const ROUNDS = 7
const TOKENS = 96

/** A schema that no other has been, by its title. */
const describePerson = (version: number): GrammarChoice => ({
  type: 'json-schema',
  schema: {
    type: 'object',
    properties: {
      [`story${version}`]: { type: 'string', maxLength: 400 },
      name: { type: 'string', maxLength: 40 },
      age: { type: 'integer', minimum: 0, maximum: 150 },
      kind: { enum: ['cat', 'dog', 'bird'] },
      tags: { type: 'array', items: { type: 'string', maxLength: 20 }, maxItems: 5 },
      home: {
        type: 'object',
        properties: { street: { type: 'string' }, zip: { type: 'string', pattern: '^[0-9]{5}$' } },
        required: ['street', 'zip'],
        additionalProperties: false,
      },
    },
    required: [`story${version}`, 'name', 'age', 'kind', 'tags', 'home'],
    additionalProperties: false,
  },
})

async function answer(
  model: LoadedModel,
  seed: number,
  maxTokens: number,
  grammar?: GrammarChoice,
): Promise<Generation> {
  const options = { temperature: 0.8, seed, maxTokens, cache: false, grammar }
  for await (const event of model.generate('Once upon a time there was', options))
    if (event.type === 'generation-end') return event
  throw new Error('internal: the answer has no end')
}

const toMs = ({ decodeMs, ids }: Generation): number => decodeMs / (ids.length - 1)

/** The share of tokens before which the grammar left one token only. */
async function measureForced(model: LoadedModel, grammar: GrammarChoice): Promise<number> {
  const host = createLocalHost(openGrammarLibrary)
  const size = model.config.vocabularySize
  let forced = 0
  let tokens = 0
  for (let seed = 0; seed < 3; seed++) {
    const { ids } = await answer(model, seed, TOKENS, grammar)
    const parts = { host, tokenizer: model.base.tokenizer, vocabularySize: size }
    const [matcher] = await openMatchers({ grammar, minTokens: 0, keepTokens: [] }, parts, 1)
    for (const id of ids) {
      await matcher!.ready()
      let allowed = 0
      for (let one = 0; one <= size; one++) if (hasBit(matcher!.mask!, one)) allowed++
      if (allowed === 1) forced++
      tokens++
      matcher!.accept(id)
    }
    matcher!.close()
  }
  return forced / tokens
}

async function* measureModel(
  name: string,
  { progress }: BenchmarkContext,
): AsyncIterable<BenchmarkRow> {
  const model = await loadModel(name)
  const grammar = describePerson(0)
  const held: number[] = []
  const free: number[] = []
  const first = { free: [] as number[], warm: [] as number[], cold: [] as number[] }
  const start = await answer(model, 0, 8, describePerson(-1))
  for (let round = 0; round < ROUNDS; round++) {
    progress(`${name}: round ${round + 1} of ${ROUNDS}`)
    free.push(toMs(await answer(model, round, TOKENS)))
    held.push(toMs(await answer(model, round, TOKENS, grammar)))
    for (const [list, choice] of [
      [first.free, undefined],
      [first.warm, grammar],
      [first.cold, describePerson(round + 1)],
    ] as const) {
      const before = performance.now()
      await answer(model, round, 1, choice)
      list.push(performance.now() - before)
    }
  }
  const row = { higherIsBetter: false, unit: 'ms' } as const
  const beside = (values: readonly number[]) => ({ name: 'a free answer', values })
  yield toBenchmarkRow({ ...row, name: `${name}, a token`, ours: held, reference: beside(free) })
  const firsts = { ...row, reference: beside(first.free) }
  yield toBenchmarkRow({
    ...firsts,
    name: `${name}, first token, compiled before`,
    ours: first.warm,
  })
  yield toBenchmarkRow({ ...firsts, name: `${name}, first token, cold schema`, ours: first.cold })
  yield toBenchmarkRow({ ...row, name: `${name}, the very first one`, ours: [start.promptMs] })
  yield toBenchmarkRow({
    name: `${name}, steps with one token left`,
    unit: '%',
    higherIsBetter: true,
    ours: [100 * (await measureForced(model, grammar))],
  })
  await model.dispose()
}

export const structuredStudy: Benchmark = {
  name: 'structured',
  summary: 'answers held to a grammar: a token, the first one, and how often only one is left',
  needs: 'GRAFT_BENCH_STRUCTURED_MODELS: names, separated by commas (default stories260k)',
  async *run(context) {
    const names = context.environment['GRAFT_BENCH_STRUCTURED_MODELS'] ?? 'stories260k'
    for (const name of names.split(',')) yield* measureModel(name, context)
  },
}
