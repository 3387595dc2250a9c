// The contract of the whole engine in Node: on the native runtime, and on a platform with the
// restrictions of a GPU.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import { openBaseModel } from '../../src/graph/base-model.ts'
import { readWeights } from '../../src/graph/read-weights.ts'
import { loadAdapter, loadModel, saveAdapter } from '../../src/node/index.ts'
import { openDirectory } from '../../src/node/files/folder.ts'
import { createModel } from '../../src/runtime/model.ts'
import { plainBackend } from '../support/onnx.ts'
import { describeWholeEngine, type OpenedEngine } from './whole-engine.contract.ts'

const folders: string[] = []
afterAll(async () => {
  for (const folder of folders) await rm(folder, { recursive: true })
})

const saveAndLoad: OpenedEngine['saveAndLoad'] = async (adapter) => {
  const folder = await mkdtemp(join(tmpdir(), 'graft-whole-'))
  folders.push(folder)
  await saveAdapter(adapter, folder)
  return loadAdapter(folder)
}

async function openPlainModel(): Promise<OpenedEngine['model']> {
  const stories = new URL('../../src/catalogue/models/stories260k', import.meta.url).pathname
  const base = await openBaseModel({ name: 'stories260k', folder: await openDirectory(stories) })
  const model = createModel({ base, backend: plainBackend })
  return Object.assign(model, { backend: plainBackend, weights: () => readWeights(base) })
}

describeWholeEngine('Node', async () => ({ model: await loadModel('stories260k'), saveAndLoad }))

describeWholeEngine(
  'Node with plain ONNX operators, no empty tensors, one call at a time',
  async () => ({
    model: await openPlainModel(),
    saveAndLoad,
  }),
)
