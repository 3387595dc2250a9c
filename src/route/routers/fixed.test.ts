import { expect, it } from 'vitest'
import { FormatError, OptionError } from '../../base/errors.ts'
import type { Router } from '../router.ts'
import { routerContract } from '../router.contract.ts'
import { fixed } from './fixed.ts'

const training = { experts: [{ name: 'sql' }, { name: 'code' }], examples: [], held: [], seed: 0 }
const train = (options: object): Router => fixed.train(training, { ...options }, {}) as Router

routerContract('fixed', () => ({
  router: train({ expert: 'sql' }),
  known: [{ text: 'Hello', expert: 'sql' }],
  load: (file) => fixed.load(file, {}),
}))

it('gives the base where no expert is named', async () => {
  expect((await train({}).decide({ text: 'Hello' })).expert).toBeUndefined()
})

it('refuses an expert that is not there, two of one name, and none', () => {
  expect(() => train({ expert: 'sqll' })).toThrow(OptionError)
  expect(() => train({ expert: 'sqll' })).toThrow(/Did you mean "sql"\?/)
  const twice = { ...training, experts: [{ name: 'a' }, { name: 'a' }] }
  expect(() => fixed.train(twice, {}, {})).toThrow(/two experts have the name "a"/)
  expect(() => fixed.train({ ...training, experts: [] }, {}, {})).toThrow(/no experts/)
  const file = { ...train({}).save(), state: { expert: 'other' } }
  expect(() => fixed.load(file, {})).toThrow(FormatError)
})
