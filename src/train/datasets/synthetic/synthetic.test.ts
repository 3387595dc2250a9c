import { describe, expect, it } from 'vitest'
import { roles } from '../../../adapters/roles.ts'
import { OptionError } from '../../../base/errors.ts'
import { random } from '../../../base/random.ts'
import { computeDatasetStatistics } from '../dataset-statistics.ts'
import { coder } from './coder.ts'
import { parseExpression } from './expression.ts'
import { roleDataContract } from './role-data.contract.ts'
import { roleDataTable } from './role-data-table.ts'
import { security } from './security.ts'
import { checkAnswer, SyntheticDataGenerator } from './synthetic-data-generator.ts'

describe.each([...roleDataTable.values()].map((role) => [role.name, role] as const))(
  '%s',
  (_, role) => {
    roleDataContract(role)
  },
)

describe('the table', () => {
  it('has data for every role that has an adapter', () => {
    expect([...roleDataTable.keys()]).toEqual([...roles.keys()])
    expect(() => new SyntheticDataGenerator(4, 1).generate('poet', 1)).toThrow('There are: coder')
  })
})

describe('the coder', () => {
  const questions = (name: string): { prompt: string; completion: string }[] => {
    const generator = random(5)
    return Array.from({ length: 200 }, () =>
      coder.tasks.find((task) => task.name === name)!.generate(generator),
    )
  }
  // JavaScript itself says what JavaScript does.
  const run = (code: string): unknown => new Function(code)() as unknown
  it('knows what functions return', () => {
    for (const { prompt, completion } of questions('evaluate')) {
      const [, code, call] = /^([^]*)\nWhat does (.*) return/.exec(prompt)!
      // −0 counts as 0
      expect((run(`${code}\nreturn ${call}`) as number) + 0).toBe(Number(completion))
    }
  })
  it('knows what loops and lists come to', () => {
    for (const { prompt, completion } of questions('loop'))
      expect(run(`${prompt.split('\nWhat')[0]}\nreturn total`)).toBe(Number(completion))
    for (const { prompt, completion } of questions('list'))
      expect(run(`return ${prompt.split('\nWhat')[0]}`)).toBe(Number(completion))
  })
  it('takes any formula that fits the examples', () => {
    const task = coder.tasks.find(({ name }) => name === 'formula')!
    const facts = {
      points: [
        [0, 4],
        [1, 7],
        [5, 19],
      ],
    }
    for (const right of ['3 * x + 4', '4 + x*3', '(x + 1) * 3 + 1', 'x + x + x + 4'])
      expect(task.check(facts, right)).toBe(true)
    for (const wrong of ['3 * x', 'y', '3 * x + 4;process.exit()', '', '((x)', '3 x + 4'])
      expect(task.check(facts, wrong)).toBe(false)
  })
})

describe('a formula', () => {
  it.each(['1 + 2 * x', '(1 + 2) * x', '-x % 4 - 3', '2 * (x - (3 - x)) / 4', '10 - 2 - 3 - x'])(
    '%s is read as JavaScript reads it',
    (text) => {
      for (const x of [0, 1, 7, 12])
        expect(parseExpression(text)!(x)).toBeCloseTo(
          new Function('x', `return ${text}`)(x) as number,
          12,
        )
    },
  )
  it.each(['', '1 +', 'x x', '(x', 'x)', 'x ** 2', 'alert(1)', '1..2'])('"%s" is none', (text) => {
    expect(parseExpression(text)).toBeUndefined()
  })
})

describe('SyntheticDataGenerator', () => {
  const generator = new SyntheticDataGenerator(64, 7)
  it('gives the same vectors for the same seed, others for another', () => {
    const data = generator.generate('coder', 50)
    expect(new SyntheticDataGenerator(64, 7).generate('coder', 50)).toEqual(data)
    expect(new SyntheticDataGenerator(64, 8).generate('coder', 50).inputs).not.toEqual(data.inputs)
    expect(generator.generate('reviewer', 50).inputs).not.toEqual(data.inputs)
    expect(data.inputs.every(Number.isFinite) && data.targets.every(Number.isFinite)).toBe(true)
  })
  it('has the qualities of its role, and inputs of about unit variance', () => {
    const data = generator.generate('security', 2000)
    for (const { name, quality } of security.topics) {
      const own = data.quality.filter((_, i) => data.tasks[i] === `security/${name}`)
      expect(own.length).toBeGreaterThan(300)
      expect(Math.min(...own)).toBeGreaterThanOrEqual(quality[0] - 1e-6)
      expect(Math.max(...own)).toBeLessThanOrEqual(quality[1] + 1e-6)
      expect(own.reduce((sum, value) => sum + value, 0) / own.length).toBeCloseTo(
        (quality[0] + quality[1]) / 2,
        1,
      )
    }
    const variance = data.inputs.reduce((sum, value) => sum + value * value, 0) / data.inputs.length
    expect(variance).toBeGreaterThan(0.8)
    expect(variance).toBeLessThan(1.2)
  })
  it('makes 1,000 examples of width 768 in a few milliseconds', () => {
    const wide = new SyntheticDataGenerator(768, 1)
    const times = Array.from({ length: 7 }, () => {
      const start = performance.now()
      wide.generate('coder', 1000)
      return performance.now() - start
    })
    console.log(`1,000 × 768: ${Math.min(...times).toFixed(1)} ms (aim: 10)`)
    // a time is no test on a busy machine; an allocation for every number would take longer
    expect(Math.min(...times)).toBeLessThan(500)
  })
  it('asks different questions, in turn by task, and judges answers', () => {
    const data = generator.tasks('architect', 90)
    expect(computeDatasetStatistics(data).duplicates).toBeLessThan(4)
    expect(data.tasks.slice(0, 3)).toEqual([
      'architect/order',
      'architect/cycle',
      'architect/capacity',
    ])
    data.rows.forEach((row, i) => {
      expect(checkAnswer(data.tasks[i]!, row, row['completion'] as string)).toBe(true)
      expect(checkAnswer(data.tasks[i]!, row, 'perhaps')).toBe(false)
    })
    expect(() => checkAnswer('architect/order', { prompt: 'a' }, 'b')).toThrow(OptionError)
    expect(() => checkAnswer('architect/poem', data.rows[0]!, 'b')).toThrow(/no task/)
  })
  it('refuses invalid sizes', () => {
    expect(() => new SyntheticDataGenerator(0, 1)).toThrow(OptionError)
    expect(() => generator.generate('coder', 1.5)).toThrow(OptionError)
  })
})
