// A server's state for as long as the process lives.

import type { ApiKeyRecord } from '../keys/api-key.ts'
import type { KeyStore } from '../keys/key-ring.ts'
import {
  addUsage,
  getUsageKey,
  isWithinFilter,
  sortUsage,
  sumUsage,
  type UsageRow,
  type UsageStore,
} from '../usage/usage-row.ts'
import type { LoadedExpertRecord, LoadedExpertStore, ServerState } from './server-state.ts'

export const createMemoryState = (): ServerState => ({
  keys: createKeyStore(),
  usage: createUsageStore(),
  experts: createExpertStore(),
  close: async () => undefined,
})

function createKeyStore(): KeyStore {
  const records = new Map<string, ApiKeyRecord>()
  let version = 0
  return {
    list: async () => [...records.values()],
    add: async (record) => {
      if (records.has(record.name)) return false
      records.set(record.name, record)
      version++
      return true
    },
    revoke: async (name, revokedAt) => {
      const record = records.get(name)
      if (record === undefined) return false
      records.set(name, Object.assign({}, record, { revokedAt }))
      version++
      return true
    },
    readVersion: async () => version,
  }
}

function createUsageStore(): UsageStore {
  let rows = new Map<string, UsageRow>()
  return {
    add: async (added) => {
      for (const row of added) {
        const key = getUsageKey(row)
        const before = rows.get(key)
        rows.set(key, before === undefined ? row : addUsage(before, row))
      }
    },
    list: async (filter = {}) =>
      sortUsage([...rows.values()].filter((row) => isWithinFilter(row, filter))),
    forgetUser: async (user) => {
      if (user === '') return
      const forget = (row: UsageRow): UsageRow =>
        row.user === user ? Object.assign({}, row, { user: '' }) : row
      rows = new Map(sumUsage([...rows.values()].map(forget)).map((row) => [getUsageKey(row), row]))
    },
  }
}

function createExpertStore(): LoadedExpertStore {
  const bases = new Map<string, Map<string, LoadedExpertRecord>>()
  const open = (base: string): Map<string, LoadedExpertRecord> => {
    const found = bases.get(base) ?? new Map<string, LoadedExpertRecord>()
    bases.set(base, found)
    return found
  }
  return {
    list: async (base) => [...open(base).values()],
    put: async (base, record) => void open(base).set(record.name, record),
    delete: async (base, name) => void open(base).delete(name),
  }
}
