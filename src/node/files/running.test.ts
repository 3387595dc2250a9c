// Running tasks: listed while their process is there, and forgotten when it is not.
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { announceTask, listRunningTasks } from './running.ts'

let folder = ''
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'graft-running-'))
})
afterEach(() => rm(folder, { recursive: true }))

it('lists a task until it ends', async () => {
  const end = await announceTask(
    folder,
    { command: 'graft serve', about: 'http://127.0.0.1:1' },
    new Date('2026-01-01T00:00:00Z'),
  )
  expect(await listRunningTasks(folder)).toEqual([
    {
      pid: process.pid,
      command: 'graft serve',
      about: 'http://127.0.0.1:1',
      since: '2026-01-01T00:00:00.000Z',
    },
  ])
  await end()
  expect(await listRunningTasks(folder)).toEqual([])
})

it('removes files of ended processes and files that are no tasks', async () => {
  const gone = { pid: 2 ** 30, command: 'graft train', about: 'x', since: 'y' }
  await writeFile(join(folder, 'gone.json'), JSON.stringify(gone))
  await writeFile(join(folder, 'broken.json'), '{"pid": 1')
  await writeFile(join(folder, 'other.json'), '[]')
  expect(await listRunningTasks(folder)).toEqual([])
  expect(await readdir(folder)).toEqual([])
})

it.runIf(process.platform === 'linux')(
  'forgets a task whose number another process has now',
  async () => {
    await announceTask(folder, { command: 'graft serve', about: 'http://127.0.0.1:1' })
    const [name] = await readdir(folder)
    const path = join(folder, name!)
    const task = JSON.parse(await readFile(path, 'utf8')) as { startTicks: string }
    expect(task.startTicks).toMatch(/^\d+$/)
    expect(await listRunningTasks(folder)).toHaveLength(1)
    await writeFile(path, JSON.stringify({ ...task, startTicks: '1' }))
    expect(await listRunningTasks(folder)).toEqual([])
    expect(await readdir(folder)).toEqual([])
  },
)

it('continues if the folder cannot be written, and lists nothing if it does not exist', async () => {
  await writeFile(join(folder, 'file'), '')
  const end = await announceTask(join(folder, 'file', 'below'), { command: 'a', about: 'b' })
  await end()
  expect(await listRunningTasks(join(folder, 'nowhere'))).toEqual([])
})
