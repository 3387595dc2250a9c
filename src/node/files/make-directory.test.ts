// Directories are created, also by concurrent processes, and refused without waiting forever.
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { makeDirectory } from './make-directory.ts'

const folder = mkdtempSync(join(tmpdir(), 'graft-mkdir-'))
afterAll(() => rmSync(folder, { recursive: true }))

describe('makeDirectory', () => {
  it('makes what is missing, once or twice or many at a time', async () => {
    const path = join(folder, 'a', 'b', 'c')
    await makeDirectory(path)
    await makeDirectory(path)
    await Promise.all(Array.from({ length: 8 }, () => makeDirectory(join(folder, 'x', 'y', 'z'))))
    expect(statSync(path).isDirectory()).toBe(true)
    expect(statSync(join(folder, 'x', 'y', 'z')).isDirectory()).toBe(true)
  })
  it("refuses if a file has the directory's name", async () => {
    writeFileSync(join(folder, 'file'), 'x')
    await expect(makeDirectory(join(folder, 'file'))).rejects.toThrow('EEXIST')
    await expect(makeDirectory(join(folder, 'file', 'below'))).rejects.toThrow('ENOTDIR')
  })
  it('ends where a file system takes no directories', async ({ skip }) => {
    if (process.platform !== 'linux') skip('only Linux has /proc')
    await expect(makeDirectory('/proc/graft/below')).rejects.toThrow('ENOENT')
  })
})
