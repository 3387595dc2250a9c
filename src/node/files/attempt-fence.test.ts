import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { ConflictError } from '../../base/errors.ts'
import { attemptFile, createAttemptFence } from './attempt-fence.ts'

const scratch = mkdtempSync(join(tmpdir(), 'graft-fence-'))
afterAll(() => rmSync(scratch, { recursive: true }))
let folders = 0
const createFolder = (): string => join(scratch, String(folders++))

describe('a fence between attempts', () => {
  it('lets only the latest attempt write, and names the one that took over', async () => {
    const folder = createFolder()
    const [first, second] = [createAttemptFence(folder), createAttemptFence(folder)]
    const written: string[] = []
    const sinkOf = (name: string) => ({ name, write: async () => void written.push(name) })
    const [one, two] = [first.guard(sinkOf('one')), second.guard(sinkOf('two'))]
    await first.take()
    await one.write('checkpoint', [])
    await second.take()
    await two.write('checkpoint', [])
    await expect(one.write('checkpoint', [])).rejects.toThrow(ConflictError)
    await expect(first.check()).rejects.toThrow(
      `${folder}: attempt 2 has taken over; this run, attempt 1, ends without writing.`,
    )
    expect(written).toEqual(['one', 'two'])
  })
  it('refuses an attempt whose folder was emptied and taken anew', async () => {
    const folder = createFolder()
    const [first, second] = [createAttemptFence(folder), createAttemptFence(folder)]
    await first.take()
    rmSync(folder, { recursive: true })
    await expect(first.check()).rejects.toThrow('another run has taken over')
    await second.take()
    await expect(first.check()).rejects.toThrow('attempt 1 has taken over')
    await second.check()
  })
  it('passes over a file that is broken', async () => {
    const folder = createFolder()
    const fence = createAttemptFence(folder)
    await fence.take()
    writeFileSync(join(folder, attemptFile), '{')
    await expect(fence.check()).rejects.toThrow(ConflictError)
    await createAttemptFence(folder).take()
    expect(JSON.parse(readFileSync(join(folder, attemptFile), 'utf8'))).toMatchObject({
      attempt: 1,
    })
  })
  it('has no say before it is taken', async () => {
    await createAttemptFence(createFolder()).check()
  })
})
