// The contract of the whole engine in this page.

import { loadAdapter, loadModel, saveAdapter } from '../../../src/web/index.ts'
import { describeWholeEngine } from '../whole-engine.contract.ts'
import { runAll } from './suite.ts'

describeWholeEngine('a page', async () => ({
  model: await loadModel('/models/stories260k/', { cache: false }),
  async saveAndLoad(adapter) {
    await saveAdapter(adapter, 'opfs:contract/expert')
    return loadAdapter('opfs:contract/expert')
  },
}))

Object.assign(globalThis, { outcomes: runAll() })
