// The exported names that other programs call, which must not change.
import { describe, expect, it } from 'vitest'
import * as main from './index.ts'
import * as node from './node/index.ts'

const errors = [
  'ContextLengthError',
  'DataError',
  'FormatError',
  'GraftError',
  'GrammarError',
  'MismatchError',
  'NotFoundError',
  'NumericError',
  'ObjectError',
  'OptionError',
  'ShapeError',
  'StorageError',
  'UnsupportedError',
]

describe('the entries', () => {
  it('graftlm exports exactly these', () => {
    expect(Object.keys(main).sort()).toEqual(
      [
        ...errors,
        'adapterKinds',
        'addPackedProduct',
        'createAdapter',
        'joinAdapters',
        'loadAdapter',
        'merge',
        'mergeMethods',
        'packAdapter',
        'saveAdapter',
        'train',
        'unpackAdapter',
        'unpackInto',
      ].sort(),
    )
  })
  it('graftlm/node has the same names, and models', () => {
    expect(Object.keys(node).sort()).toEqual(
      [
        ...Object.keys(main),
        'compress',
        'createLearner',
        'extract',
        'createFileStore',
        'loadDataset',
        'saveDataset',
        'loadModel',
        'mergeIntoBase',
        'planTraining',
        'resolveModel',
        'openSqliteStore',
        'openWorker',
        'createTrainer',
        'planShare',
        'createEngine',
        'createRouter',
        'generateObject',
        'openEngineWorker',
        'openPrefixFolder',
        'openRegistry',
        'startServer',
      ].sort(),
    )
    expect(node.loadAdapter).not.toBe(main.loadAdapter)
    expect(node.merge).not.toBe(main.merge)
  })
  it('every error is a GraftError of its own name', () => {
    for (const name of errors.filter((each) => each !== 'MismatchError')) {
      const error = new (main as unknown as Record<string, new (message: string) => Error>)[name]!(
        'what failed',
      )
      expect(error).toBeInstanceOf(main.GraftError)
      expect(error.name).toBe(name)
    }
  })
})

describe('createAdapter', () => {
  it('takes a model or its graph, and names the base of a model', async () => {
    const model = await node.loadModel('stories260k')
    const config = { rank: 2, targets: ['q_proj'] }
    const fromModel = await main.createAdapter('lora', config, model)
    const fromGraph = await main.createAdapter('lora', config, model.base.graph)
    expect(fromModel.baseModel).toBe('stories260k')
    expect(fromGraph.baseModel).toBeUndefined()
    expect([...fromModel.tensors]).toEqual([...fromGraph.tensors])
    const other = await main.createAdapter('lora', config, model, { seed: 1 })
    expect([...other.tensors]).not.toEqual([...fromModel.tensors])
    await model.dispose()
  })
})
