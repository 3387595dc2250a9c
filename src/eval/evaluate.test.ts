// What evaluation refuses; its figures are tested through the command line and the metrics.
import { expect, it } from 'vitest'
import { OptionError } from '../base/errors.ts'
import type { Model } from '../runtime/index.ts'
import { compareExperts } from './compare-experts.ts'
import { evaluate } from './evaluate.ts'
import { metrics } from './metric-table.ts'

const model = {} as Model
const options = {
  model,
  data: { name: 'rows', rows: [] } as never,
  metrics: [...metrics.values()].slice(0, 1),
  candidates: [{ name: 'base', adapter: undefined }],
}

it.each<[string, object, string]>([
  ['a misspelt option', { newToken: 3 }, 'no option "newToken". Did you mean "newTokens"?'],
  ['a misspelt key', { candidates: [{ name: 'x', sytem: '' }] }, 'Did you mean "system"?'],
  ['a wrong value', { maxTokens: 0 }, 'maxTokens: got 0, expected an integer ≥ 1'],
  ['no metric', { metrics: [] }, 'name at least one metric and one candidate'],
])('refuses %s', async (_, wrong, message) => {
  const result = evaluate({ ...options, ...wrong })
  await expect(result).rejects.toThrow(OptionError)
  await expect(result).rejects.toThrow(message)
})

it('refuses a misspelt option of a comparison', async () => {
  const result = compareExperts(model, [], { befor: undefined } as never)
  await expect(result).rejects.toThrow('Did you mean "before"?')
})
