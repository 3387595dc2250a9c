// docs/train-settings.md compared with the tables it describes: every optimiser, schedule, option
// and default rate is in it.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { optimizerFactors, defaultLearningRates } from '../src/train/options/default-rates.ts'
import { optimizers } from '../src/train/optimizers/optimizer-table.ts'
import { schedules } from '../src/train/schedules/schedule-table.ts'
import { root } from './support/sources.ts'

const page = readFileSync(join(root, 'docs/train-settings.md'), 'utf8')
/** The page's table row that begins with a name. */
const rowOf = (name: string): string =>
  page.split('\n').find((line) => line.startsWith(`| \`${name}\``)) ?? ''

describe('docs/train-settings.md', () => {
  it.each([...optimizers.values(), ...schedules.values()].map((row) => [row.name, row] as const))(
    'tells of %s and its options',
    (name, { options }) => {
      const row = rowOf(name)
      expect(row).not.toBe('')
      for (const [option, spec] of Object.entries(options)) {
        if (option === 'weightDecay') continue // told for all optimisers at once
        expect(row).toContain(`\`${option}\``)
        expect(row.replaceAll('1e4', '10000')).toContain(
          typeof spec.default === 'number' ? `\`${option}\` ${spec.default}` : option,
        )
      }
    },
  )
  it('has the default learning rates', () => {
    for (const [kind, rate] of Object.entries(defaultLearningRates)) {
      const cells = rowOf(kind)
        .split('|')
        .map((cell) => cell.trim())
      expect([kind, Number(cells[2])]).toEqual([kind, rate])
    }
    expect(optimizerFactors).toEqual({ adamw: 1, adafactor: 1, lion: 1 / 4, sgd: 50 })
  })
})
