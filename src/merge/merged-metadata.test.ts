import { describe, expect, it } from 'vitest'
import { createStandalone } from '../adapters/vectors/create.ts'
import { compress } from './compress.ts'
import { merge } from './merge.ts'

const create = (seed: number, metadata?: Readonly<Record<string, string>>) =>
  createStandalone(
    'lora',
    { rank: 4, start: 'random', targets: ['q_proj'] },
    { width: 8, seed, ...(metadata && { metadata }) },
  )
const coder = create(1, {
  name: 'coder',
  description: 'writes code',
  tags: 'code fast',
  data_sha256: 'aaa',
  graft_base_sha256: 'base',
  licence: 'MIT',
})
const reviewer = create(2, {
  name: 'reviewer',
  description: 'reads code',
  tags: 'code slow',
  data_sha256: 'bbb',
  graft_base_sha256: 'base',
  licence: 'MIT',
})

describe('metadata', () => {
  it('stay through a compression and a merge of one', () => {
    expect(compress(coder, { rank: 2 }).adapter.metadata).toEqual(coder.metadata)
    expect(merge([coder]).metadata).toEqual(coder.metadata)
  })
  it('of a merge list what differs and keep what is the same', () => {
    expect(merge([coder, reviewer]).metadata).toEqual({
      name: 'coder + reviewer',
      description: 'writes code, reads code',
      tags: 'code fast slow',
      data_sha256: 'aaa, bbb',
      graft_base_sha256: 'base',
      licence: 'MIT',
    })
  })
  it('of sources without any are those of the others', () => {
    expect(merge([coder, create(3)]).metadata).toEqual({
      ...coder.metadata,
      name: 'coder + unnamed',
    })
    expect(merge([create(3), create(4)]).metadata).toBeUndefined()
  })
  it('that are asked for replace those of the sources', () => {
    expect(merge([coder, reviewer], { name: 'both', tags: ['mine'] }).metadata).toMatchObject({
      name: 'both',
      tags: 'mine',
      data_sha256: 'aaa, bbb',
    })
  })
})
