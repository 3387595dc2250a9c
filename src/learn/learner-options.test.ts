import { describe, expect, it } from 'vitest'
import { OptionError } from '../base/errors.ts'
import { createLearner } from './learner.ts'
import type { LearnerOptions } from './learner-options.ts'

/** No option is read from the model before all options are known to be right. */
const model = {} as LearnerOptions['model']
const check = (options: object) => () => createLearner({ model, ...options })

describe('options of a learner', () => {
  it.each([
    [{ memory: { lambda: 0.5 } }, /no option "memory.lambda" \(there are capacity, sharpness\)/],
    [{ memory: { capasity: 5 } }, /no option "memory.capasity". Did you mean "memory.capacity"\?/],
    [{ fast: { rnak: 4 } }, /"fast.rnak". Did you mean "fast.rank"\?/],
    [{ fast: { where: { module: 'head' } } }, /Did you mean "fast.where.modules"\?/],
    [{ fast: { where: { modules: 'head', layers: { least: 2 } } } }, /"fast.where.layers.least"/],
    [{ slow: { epoch: 3 } }, /Did you mean "slow.epochs"\?/],
    [{ slow: { schedule: { everyTurn: 3 } } }, /Did you mean "slow.schedule.everyTurns"\?/],
    [
      { slow: { schedule: 'daily' } },
      /slow.schedule: got "daily", expected "by-hand" or an object/,
    ],
    [{ guard: { bounds: 1 } }, /Did you mean "guard.bound"\?/],
    [{ canary: [] }, /no option "canary"/],
    [{ keptTurn: 3 }, /Did you mean "keptTurns"\?/],
    [{ fast: true }, /fast: got true, expected an object or false/],
    [{ fast: { head: { rnak: 4 } } }, /Did you mean "fast.head.rank"\?/],
    [
      { fast: { layers: { rank: 40 } } },
      /fast.layers.rank: got 40, expected an integer from 1 to 16/,
    ],
    [{ fast: { head: {}, rank: 4 } }, /fast.rank: got it next to fast.head or fast.layers/],
    [{ slow: { epochs: 0.5 } }, /slow.epochs: got 0.5, expected an integer ≥ 1/],
    [{ slow: { layers: { first: 2 } } }, /no option "slow.layers.first"/],
    [{ breadth: 0 }, /breadth: got 0, expected an integer ≥ 1 or "all"/],
    [{ canaries: 'text' }, /canaries: got "text", expected a list/],
    [{ canaries: [null] }, /canaries\[0\]: got null, expected \{ prompt, completion \}/],
    [{ store: 'users.db' }, /store: got "users.db", expected a store/],
    [{ now: 5 }, /now: got 5, expected a function/],
    [{ model: undefined }, /model is missing/],
  ])('%j is refused with its path', (options, message) => {
    expect(check(options)).toThrow(OptionError)
    expect(check(options)).toThrow(message)
  })
  it('are reported all at once', () => {
    expect(
      check({ memroy: false, fast: { rank: 40, trsut: 1 }, guard: { everyTurns: 0 } }),
    ).toThrow(/memroy.*fast.trsut.*fast.rank: got 40.*guard.everyTurns: got 0/)
  })
})
