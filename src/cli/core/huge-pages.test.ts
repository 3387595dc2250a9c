import { describe, expect, it } from 'vitest'
import { useHugePages, type StartedProcess } from './huge-pages.ts'

const onRequest = (): string => 'always [madvise] never\n'

/** What a process started in its place; undefined where it went on. */
function start(changes: Partial<StartedProcess> = {}, readPages = onRequest) {
  const calls: { args: readonly string[]; env: NodeJS.ProcessEnv }[] = []
  const started: StartedProcess = {
    platform: 'linux',
    argv: ['/node', '/graft.js', 'serve', '--port', '1'],
    execArgv: ['--no-warnings'],
    execPath: '/node',
    env: { HOME: '/home' },
    execve: (_file, args, env) => void calls.push({ args, env }),
    ...changes,
  }
  useHugePages(started.argv[2], started, readPages)
  return calls[0]
}

describe('a command that computes', () => {
  it('starts again with the same arguments and large pages', () => {
    expect(start()).toEqual({
      args: ['/node', '--no-warnings', '/graft.js', 'serve', '--port', '1'],
      env: { HOME: '/home', GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1' },
    })
  })

  it('keeps other settings of glibc', () => {
    const env = { GLIBC_TUNABLES: 'glibc.malloc.check=1' }
    expect(start({ env })?.env['GLIBC_TUNABLES']).toBe(
      'glibc.malloc.check=1:glibc.malloc.hugetlb=1',
    )
  })

  it('starts only once: the second time the variable is set, to any value', () => {
    expect(start({ env: { GLIBC_TUNABLES: 'glibc.malloc.hugetlb=0' } })).toBeUndefined()
  })

  it.each(['[always] madvise never', 'always madvise [never]'])('continues where %s', (pages) => {
    expect(start({}, () => pages)).toBeUndefined()
  })

  it('continues as a replica, whose pipes a new program would not get', () => {
    expect(start({ env: { GRAFT_REPLICA: '{"rank":0,"size":2}' } })).toBeUndefined()
  })

  it('continues if the system does not report on pages, or refuses', () => {
    const fail = (): never => {
      throw new Error('no such file')
    }
    expect(start({}, fail)).toBeUndefined()
    expect(() => start({ execve: fail })).not.toThrow()
  })

  it('continues elsewhere than on Linux, and where no program can take its place', () => {
    expect(start({ platform: 'darwin' })).toBeUndefined()
    expect(start({ execve: undefined })).toBeUndefined()
  })
})

it.each([['models'], ['serve', '--help'], []])('graft %s %s starts at once', (...args) => {
  expect(start({ argv: ['/node', '/graft.js', ...(args as string[])] })).toBeUndefined()
})
