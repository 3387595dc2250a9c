import { afterAll, beforeAll, expect, it } from 'vitest'
import { createLocalHost } from '../../runtime/grammar/local-host.ts'
import { type LoadedModel, loadModel } from '../model.ts'
import { openGrammarLibrary } from './open-library.ts'
import { sampleSchemas } from './sampling.testing.ts'
import { schemas } from './schemas.testing.ts'

let model: LoadedModel

beforeAll(async () => {
  model = await loadModel('stories260k')
})
afterAll(() => model.dispose())

it('writes what 50 schemas admit, or a beginning of it', async () => {
  expect(Object.keys(schemas).length).toBeGreaterThanOrEqual(50)
  const host = createLocalHost(openGrammarLibrary)
  const { samples, cut, wrong } = await sampleSchemas(schemas, {
    model,
    host,
    seeds: 2,
    maxTokens: 60,
  })
  expect(wrong).toEqual([])
  expect(cut).toBeLessThan(samples / 2)
}, 60_000)
