import { describe, expect, it } from 'vitest'
import { OptionError, UnsupportedError } from '../../base/errors.ts'
import { readOptions } from '../../base/schema.ts'
import { routerContract } from '../router.contract.ts'
import type { Router, RouterParts } from '../router.ts'
import { bandit } from './bandit.ts'
import { mixture } from './mixture.ts'
import { createTraining } from './testing.ts'

const training = createTraining(40)
const parts: RouterParts = {
  load: async (file) => bandit.load(file, {}),
  train: async (_kind, of, options) =>
    bandit.train(of, readOptions('Router', options, bandit.fields), {}),
}
const train = async (given: object = {}): Promise<Router> =>
  mixture.train(
    training,
    readOptions(
      'Router',
      Object.assign({ kind: 'bandit', options: { exploration: 0, even: 0 } }, given),
      mixture.fields,
    ),
    parts,
  )

routerContract('mixture', async () => ({
  router: await train(),
  known: training.examples.slice(0, 6),
  load: (file) => mixture.load(file, parts),
}))

describe('the router "mixture"', () => {
  it('lets experts answer together, the heaviest of which is its expert', async () => {
    const decision = await (await train({ least: 0.05 })).decide({ text: 'the song and the table' })
    const { mixture: own } = decision
    expect(own!.length).toBeGreaterThan(1)
    expect(own![0]!.name).toBe(decision.scores[0]!.expert)
    expect(own!.reduce((sum, { weight }) => sum + weight, 0)).toBeCloseTo(1, 10)
    expect(decision.reason).toMatch(/answer together/)
    expect((await (await train({ most: 1 })).decide({ text: 'the song' })).mixture).toBeUndefined()
  })

  it('refuses gates by token with the reason, itself within itself, and no way to train', async () => {
    await expect(train({ gates: 'token' })).rejects.toThrow(UnsupportedError)
    await expect(train({ gates: 'token' })).rejects.toThrow(
      /one set of weights for a row and a step/,
    )
    await expect(train({ kind: 'mixture' })).rejects.toThrow(OptionError)
    await expect(
      (async () => mixture.train(training, readOptions('Router', {}, mixture.fields), {}))(),
    ).rejects.toThrow(/createRouter/)
    const file = (await train()).save()
    await expect((async () => mixture.load({ ...file, state: {} }, parts))()).rejects.toThrow(
      /most, least/,
    )
  })
})
