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

it('writes what the schemas admit, or a beginning of it, in over 1,000 samples', async () => {
  const host = createLocalHost(openGrammarLibrary)
  const options = { model, host, seeds: 20, maxTokens: 120 }
  const { samples, cut, wrong } = await sampleSchemas(schemas, options)
  console.log(`${samples} samples, ${cut} of them cut by the limit`)
  expect(samples).toBeGreaterThanOrEqual(1000)
  expect(wrong).toEqual([])
}, 900_000)
