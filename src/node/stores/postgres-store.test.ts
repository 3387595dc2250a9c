import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ConflictError, StorageError } from '../../base/errors.ts'
import { describeUserStore } from '../../learn/store/user-store.contract.ts'
import type { UserStore } from '../../learn/store/user-store.ts'
import { findPostgres, startPostgres, type TestPostgres } from '../../../test/support/postgres.ts'
import { countTogether } from '../../../test/support/stores.ts'
import { openPostgresStore } from './postgres-store.ts'

const bin = findPostgres()
const title = bin === undefined ? 'Postgres [skip: postgresql is not installed]' : 'Postgres'

describe.skipIf(bin === undefined)(title, () => {
  let server: TestPostgres
  beforeAll(async () => {
    server = await startPostgres(bin!)
  }, 60_000)
  afterAll(() => server.stop())

  describeUserStore('Postgres', () => {
    const address = server.createAddress()
    return { open: () => openPostgresStore(address), remove: () => undefined }
  })

  it('loses nothing of eight writers: 200 of 200', async () => {
    const address = server.createAddress()
    const stores = await Promise.all(Array.from({ length: 8 }, () => openPostgresStore(address)))
    const { count, told } = await countTogether(stores, 25)
    expect(count).toBe(200)
    expect(told).toBeGreaterThan(0)
    for (const store of stores) await store.close()
  })
  it('says in one line that it is full, and keeps the version before', async () => {
    const address = server.createAddress()
    const store = await openPostgresStore(address)
    const version = await store.put('ada', 'state', Uint8Array.of(1))
    await server.run(
      address,
      `create function refuse() returns trigger language plpgsql as
        $$ begin raise exception 'no space left on device' using errcode = '53100'; end $$;
      create trigger full_disk before insert or update on graft_items execute function refuse()`,
    )
    const put = store.put('ada', 'state', Uint8Array.of(2), version)
    await expect(put).rejects.toThrow(/^postgres:\/\/\S+: cannot be used: disk full \(53100\)\.$/)
    await expect(put).rejects.toThrow(StorageError)
    expect(await store.get('ada', 'state')).toEqual({ bytes: Uint8Array.of(1), version })
    await store.close()
  })
  it('continues after the server has ended its connections', async () => {
    const address = server.createAddress()
    const store = await openPostgresStore(address)
    const version = await store.put('ada', 'state', Uint8Array.of(1))
    await server.run(
      address,
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'graft'",
    )
    await expect
      .poll(() => store.get('ada', 'state').catch(() => undefined))
      .toEqual({
        bytes: Uint8Array.of(1),
        version,
      })
    await expect(store.put('ada', 'state', Uint8Array.of(2), version + 9)).rejects.toThrow(
      ConflictError,
    )
    await store.close()
  })
  it('frees what was deleted, and rejects with StorageError after it was closed', async () => {
    const store = await openPostgresStore(server.createAddress())
    await store.put('ada', 'state', new Uint8Array(10_000))
    await store.forget('ada')
    await store.purge!()
    await store.close()
    await store.close()
    await expect(store.get('ada', 'state')).rejects.toThrow(StorageError)
  })
})

describe('a Postgres address', () => {
  const open = (address: string): Promise<UserStore> => openPostgresStore(address)
  it('where nothing listens is reported in one line, without the password', async () => {
    await expect(open('postgres://ada:secret@127.0.0.1:1/users')).rejects.toThrow(
      'postgres://127.0.0.1:1/users: cannot be used: nothing listens there (ECONNREFUSED).',
    )
  })
  it('that cannot be read is refused without being repeated', async () => {
    await expect(open('postgres://ada:secret@[::/x')).rejects.toThrow(
      /^A Postgres address: got one that cannot be read/,
    )
  })
})
