import { describe } from 'vitest'
import { createMemoryState } from './memory-state.ts'
import { serverStateContract } from './server-state.contract.ts'

describe('a state in memory', () => {
  serverStateContract(async () => createMemoryState())
})
