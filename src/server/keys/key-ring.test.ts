import { describe, expect, it } from 'vitest'
import { NotFoundError, OptionError } from '../../base/errors.ts'
import { createMemoryState } from '../state/memory-state.ts'
import {
  createApiKey,
  describeApiKey,
  hashApiKey,
  hasScope,
  isSameHash,
  type NewKeyOptions,
  scopes,
} from './api-key.ts'
import { KeyRing } from './key-ring.ts'

const random = (count: number): Uint8Array => crypto.getRandomValues(new Uint8Array(count))
const createRing = (store = createMemoryState().keys): KeyRing =>
  new KeyRing({ store, random, now: () => Date.UTC(2026, 10, 30) })

describe('a key', () => {
  it('has 256 random bits behind a prefix, and a record without them', () => {
    const { text, record } = createApiKey({ name: 'ci' }, random(32), '2026-11-30')
    expect(text).toMatch(/^graft_[A-Za-z0-9_-]{43}$/)
    expect(record.hash).toMatch(/^[0-9a-f]{64}$/)
    expect(record.hash).toBe(hashApiKey(text))
    expect(JSON.stringify(record)).not.toContain(text.slice(6, -4))
    expect(describeApiKey(record)).toBe(`the key "ci" (…${text.slice(-4)})`)
  })
  it('hashes as SHA-256 does', () =>
    expect(hashApiKey('abc')).toBe(
      'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
    ))
  it.each([
    [{ name: '' }, 'a name of 1 to 64'],
    [{ name: 'a\nb' }, 'a name of 1 to 64'],
    [{ name: 'a'.repeat(65) }, 'a name of 1 to 64'],
    [{ name: 'ci', scopes: [] }, 'scopes'],
    [{ name: 'ci', scopes: ['infr'] }, 'scopes'],
    [{ name: 'ci', requestsPerMinute: 0 }, 'requestsPerMinute'],
    [{ name: 'ci', tokensPerMinutes: 5 }, 'Did you mean "tokensPerMinute"?'],
  ])('is refused for %o', (options, message) =>
    expect(() => createApiKey(options as NewKeyOptions, random(32), '')).toThrow(message),
  )
  it('has the scopes that it was given, and admin has all', () => {
    const get = (given: (typeof scopes)[number][]) =>
      createApiKey({ name: 'ci', scopes: given }, random(32), '').record
    expect(scopes.filter((scope) => hasScope(get(['infer']), scope))).toEqual(['infer'])
    expect(scopes.filter((scope) => hasScope(get(['train', 'feedback']), scope))).toEqual([
      'feedback',
      'train',
    ])
    expect(scopes.filter((scope) => hasScope(get(['admin']), scope))).toEqual([...scopes])
  })
  it.each([
    ['a', 'a', true],
    ['a', 'b', false],
    ['ab', 'a', false],
    ['a', 'ab', false],
    ['', '', true],
  ])('%j and %j are the same hash: %s', (a, b, same) => expect(isSameHash(a, b)).toBe(same))
})

describe('the keys of a server', () => {
  it('are found by their text alone', async () => {
    const ring = createRing()
    const { text } = await ring.add({ name: 'ci' })
    await ring.add({ name: 'app' })
    expect((await ring.find(text))?.name).toBe('ci')
    const others = ['', 'ci', `${text} `, text.slice(0, -1), text.toUpperCase(), 'x'.repeat(1e6)]
    const { hash } = (await ring.list())[0]!
    for (const other of [...others, hash]) expect(await ring.find(other)).toBeUndefined()
  })
  it('are not found once they are revoked, and the server stays closed', async () => {
    const ring = createRing()
    expect(await ring.hasKeys()).toBe(false)
    const { text } = await ring.add({ name: 'ci' })
    expect((await ring.revoke('ci')).revokedAt).toBe('2026-11-30T00:00:00.000Z')
    expect(await ring.find(text)).toBeUndefined()
    expect(await ring.hasKeys()).toBe(true)
    expect((await ring.revoke('ci')).revokedAt).toBe('2026-11-30T00:00:00.000Z')
  })
  it('have names that are used once', async () => {
    const ring = createRing()
    await ring.add({ name: 'ci' })
    await expect(ring.add({ name: 'ci' })).rejects.toThrow(OptionError)
    await ring.revoke('ci')
    await expect(ring.add({ name: 'ci' })).rejects.toThrow('was revoked')
  })
  it('are revoked by a name that exists', async () => {
    const ring = createRing()
    await ring.add({ name: 'laptop' })
    await expect(ring.revoke('labtop')).rejects.toThrow(NotFoundError)
    await expect(ring.revoke('labtop')).rejects.toThrow('Did you mean "laptop"?')
  })
  it('are read again only after a change', async () => {
    const { keys } = createMemoryState()
    let reads = 0
    const store = Object.assign({}, keys, { list: () => (reads++, keys.list()) })
    const ring = createRing(store)
    const { text } = await ring.add({ name: 'ci' })
    for (let i = 0; i < 10; i++) await ring.find(text)
    expect(reads).toBe(1)
    await createRing(keys).add({ name: 'app' })
    expect(await ring.list()).toHaveLength(2)
  })
})
