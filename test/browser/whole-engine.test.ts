// The contract of the whole engine in Node, on the native runtime.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import { loadAdapter, loadModel, saveAdapter } from '../../src/node/index.ts'
import { describeWholeEngine } from './whole-engine.contract.ts'

const folders: string[] = []
afterAll(async () => {
  for (const folder of folders) await rm(folder, { recursive: true })
})

describeWholeEngine('Node', async () => ({
  model: await loadModel('stories260k'),
  async saveAndLoad(adapter) {
    const folder = await mkdtemp(join(tmpdir(), 'graft-whole-'))
    folders.push(folder)
    await saveAdapter(adapter, folder)
    return loadAdapter(folder)
  },
}))
