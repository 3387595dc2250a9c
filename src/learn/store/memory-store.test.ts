import { expect, it } from 'vitest'
import { StorageError } from '../../base/errors.ts'
import { createMemoryStore } from './memory-store.ts'
import { describeUserStore } from './user-store.contract.ts'

describeUserStore('memory', () => {
  const store = createMemoryStore()
  return { open: () => store, remove: () => undefined }
})

it('reports when it is full, keeps what it has, and has room again after a deletion', async () => {
  const store = createMemoryStore({ limitBytes: 100 })
  const version = await store.put('ada', 'a', new Uint8Array(60))
  await expect(store.put('ada', 'b', new Uint8Array(60))).rejects.toThrow(StorageError)
  await expect(store.put('ada', 'a', new Uint8Array(101), version)).rejects.toThrow(
    'memory: cannot be written: full, 101 bytes are more than 100.',
  )
  expect((await store.get('ada', 'a'))!.version).toBe(version)
  await store.put('ada', 'a', new Uint8Array(100), version)
  await store.delete('ada', 'a')
  await store.put('bob', 'a', new Uint8Array(100))
  expect(await store.users()).toEqual(['bob'])
})
