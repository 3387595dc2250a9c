// The contract of every role's synthetic data.

import { expect, it } from 'vitest'
import { random } from '../../../base/random.ts'
import type { RoleData } from './role-data.ts'

const draws = 300

export function roleDataContract({ topics, tasks }: RoleData): void {
  it('has topics of different names with qualities from 0 to 1', () => {
    expect(topics.length).toBeGreaterThanOrEqual(3)
    expect(new Set(topics.map(({ name }) => name)).size).toBe(topics.length)
    for (const { quality } of topics) {
      expect(quality[0]).toBeGreaterThanOrEqual(0)
      expect(quality[0]).toBeLessThan(quality[1])
      expect(quality[1]).toBeLessThanOrEqual(1)
    }
  })
  it.each(tasks.map((task) => [task.name, task] as const))(
    '%s: its answers are right, others are not, and facts survive JSON',
    (_, task) => {
      const generator = random(11)
      const made = Array.from({ length: draws }, () => task.generate(generator))
      const answers = [...new Set(made.map(({ completion }) => completion))]
      expect(answers.length).toBeGreaterThan(1)
      const alsoRight = made.filter(({ completion, facts }, i) => {
        const saved = JSON.parse(JSON.stringify(facts)) as typeof facts
        expect([completion, ` ${completion}\n`].map((answer) => task.check(saved, answer))).toEqual(
          [true, true],
        )
        expect(['', 'I cannot tell.'].map((answer) => task.check(saved, answer))).toEqual([
          false,
          false,
        ])
        const other = answers[i % answers.length]!
        return other !== completion && task.check(saved, other)
      })
      // only orders and formulas may have several right answers
      expect(alsoRight.length).toBeLessThan(draws / 20)
    },
  )
  it.each(tasks.map((task) => [task.name, task] as const))(
    '%s: the seed decides, and questions differ',
    (_, task) => {
      const drawn = (seed: number): string[] => {
        const generator = random(seed)
        return Array.from({ length: 60 }, () => task.generate(generator).prompt)
      }
      expect(drawn(1)).toEqual(drawn(1))
      expect(drawn(2)).not.toEqual(drawn(1))
      expect(new Set(drawn(1)).size).toBeGreaterThan(50)
    },
  )
}
