// Agents of one engine, votes, merged consensus, and selection by past results.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { storiesModel, type TestModel } from '../../test/support/learner.ts'
import { createNoisyExpert } from '../../test/support/server.ts'
import { merge } from '../merge/index.ts'
import { metrics } from '../eval/index.ts'
import { createRawDataset } from '../train/data/jsonl.ts'
import type { Registry } from '../registry/registry.ts'
import {
  compareConsensus,
  createAgents,
  createPastResults,
  findRoleExpert,
  mergeAgents,
  voteAnswers,
} from './index.ts'

let model: TestModel
beforeAll(async () => void (model = await storiesModel()))
afterAll(() => model.dispose())

const makeExpert = (seed: number) => createNoisyExpert(model as never, seed)
const prompt = 'Once upon a time'

describe('agents of one engine', () => {
  it('answer at once as each would alone, by their own expert and system message', async () => {
    const experts = [1, 2].map(makeExpert)
    const agents = await createAgents({
      model,
      roles: {
        coder: { expert: experts[0], maxTokens: 10 },
        reviewer: { expert: experts[1], maxTokens: 10 },
        security: { system: 'Tim has a dog.', maxTokens: 10 },
      },
    })
    const answers = await agents.askAll(prompt)
    const alone = async (text: string, adapter?: (typeof experts)[number]): Promise<string> =>
      (await model.generateBatch([text], { adapter, maxTokens: 10 }))[0]!.text
    expect(answers.map(({ agent, text }) => [agent, text])).toEqual([
      ['coder', await alone(prompt, experts[0])],
      ['reviewer', await alone(prompt, experts[1])],
      ['security', await alone(`Tim has a dog.\n\n${prompt}`)],
    ])
    expect(new Set(answers.map(({ text }) => text)).size).toBe(3)
    expect(
      (await agents.askAll(prompt, { agents: ['reviewer'] })).map(({ agent }) => agent),
    ).toEqual(['reviewer'])
    await expect(agents.ask('reviwer', prompt)).rejects.toThrow(/Did you mean "reviewer"/)
    await agents.close()
  })
  it('refuse an unknown option of a role by name', async () => {
    const roles = { coder: { exprt: makeExpert(1) } as object }
    await expect(createAgents({ model, roles })).rejects.toThrow(/roles.coder.*"expert"/)
    await expect(createAgents({ model, roles: {} })).rejects.toThrow(/at least one role/)
  })
})

describe('a vote', () => {
  const cast = (...texts: string[]) => texts.map((text, i) => ({ agent: `a${i}`, text }))
  it('takes what most say, white space and case apart, and of equally many the first', () => {
    expect(voteAnswers(cast('Yes', ' no', 'no '))).toEqual({
      text: ' no',
      agents: ['a1', 'a2'],
      share: 2 / 3,
    })
    expect(voteAnswers(cast('x', 'y')).text).toBe('x')
    expect(voteAnswers(cast('x', 'y', 'y'), { weights: { a0: 3 } }).text).toBe('x')
    expect(() => voteAnswers([])).toThrow(/at least one answer/)
  })
})

describe('consensus by merging', () => {
  it('is TIES over the agents unless another method is named', () => {
    const experts = { a: makeExpert(1), b: makeExpert(2) }
    const [merged] = mergeAgents(experts).tensors.values()
    const [wanted] = merge(experts, { method: 'ties', density: 0.5 }).tensors.values()
    expect(merged!.data).toEqual(wanted!.data)
    const [mean] = mergeAgents(experts, { method: 'average' }).tensors.values()
    expect(mean!.data).not.toEqual(wanted!.data)
  })
  it('is measured beside each agent alone and beside voting, on the same rows', async () => {
    const rows = [
      { prompt, completion: ', there' },
      { prompt: 'One day', completion: ', a' },
    ]
    const results = await compareConsensus({
      model,
      data: createRawDataset(rows, 'rows'),
      metric: metrics.get('token-f1')!,
      experts: { a: makeExpert(1), b: makeExpert(2) },
      newTokens: 6,
    })
    expect(results.map(({ name }) => name)).toEqual(['a', 'b', 'merged', 'vote'])
    // of two agents that differ the vote is the first one's answer
    expect(results[3]!.value).toBe(results[0]!.value)
    expect(results.filter(({ difference }) => difference === undefined)).toHaveLength(1)
    await expect(
      compareConsensus({
        model,
        data: createRawDataset(rows, 'rows'),
        metric: metrics.get('perplexity')!,
        experts: {},
      }),
    ).rejects.toThrow(/scores no answers/)
  })
})

describe('past results', () => {
  const solved = [
    ['Write a SQL query for all customers', 'sql', 1],
    ['Write a SQL query for orders of May', 'sql', 1],
    ['Write a SQL query for all customers', 'poet', 0],
    ['Write a poem about rain', 'poet', 1],
    ['Write a poem about snow and wind', 'poet', 1],
    ['Write a poem about rain', 'sql', 0.2],
  ] as const
  const add = async (results: Awaited<ReturnType<typeof createPastResults>>) => {
    for (const [text, agent, score] of solved) await results.add({ text, agent, score })
  }
  it('choose the agent that did well on the most similar requests', async () => {
    const results = await createPastResults()
    expect(await results.choose('anything')).toBeUndefined()
    await add(results)
    const sql = await results.choose('Write a SQL query for customers in Rome')
    expect([sql!.agent, sql!.scores.map(({ agent }) => agent)]).toEqual(['sql', ['sql', 'poet']])
    expect((await results.choose('A poem about wind'))!.agent).toBe('poet')
    expect((await results.choose('A poem about wind', ['sql']))!.agent).toBe('sql')
    const again = await createPastResults({}, results.toJSON())
    expect(await again.choose('A poem about wind')).toEqual(
      await results.choose('A poem about wind'),
    )
    await expect(results.add({ text: 'x', agent: 'a', score: 2 })).rejects.toThrow(/from 0 to 1/)
  })
  it('forget the oldest beyond their number', async () => {
    const results = await createPastResults({ capacity: 2 })
    await add(results)
    expect(results.size).toBe(2)
    expect((await results.choose('Write a SQL query'))!.scores).toHaveLength(2)
  })
})

describe('the expert of a role', () => {
  const make = (id: string, more: object) => ({
    id,
    version: '1.0.0',
    addedAt: '2026-01-01',
    manifest: more,
  })
  const experts = [
    make('ts', { scores: { 'tests-pass': { value: 0.4 } } }),
    make('py', { scores: { 'tests-pass': { value: 0.6 } } }),
  ]
  const registry = {
    location: 'here',
    list: async (id: string) => (id === 'security' ? [make('security', {})] : []),
    search: async ({ domain }: { domain?: string }) => (domain === 'coder' ? experts : []),
    resolve: async (reference: string) => ({ location: reference }),
  } as unknown as Registry
  it('is the one of its name, else the best with it among domains or tags', async () => {
    const find = async (role: string) =>
      (await findRoleExpert(registry, role, { metric: 'tests-pass' })).location
    expect(await find('security@stable')).toBe('security@stable')
    expect(await find('coder')).toBe('py@1.0.0')
    await expect(find('poet')).rejects.toThrow(/no expert is named "poet"/)
  })
})
