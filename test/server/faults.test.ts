// Faults while users are saved: the process is killed, the disk is full. `graft serve --learn` in a
// process of its own.

import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { scratchFolder } from '../support/cli.ts'
import { askServe, startServe, type ServeProcess } from '../support/serve-process.ts'

const scratch = scratchFolder()
const at = (name: string): string => join(scratch.path, name)
const timeout = 120_000
afterAll(() => scratch.remove())

const prompt = 'The dog is called'
const complete = async (server: ServeProcess, user: string | undefined) =>
  askServe(server, '/v1/completions', { prompt, user, max_tokens: 8, temperature: 0 })

/** One turn of a user and its correction; the status of the feedback. */
async function teach(server: ServeProcess, user: string): Promise<number> {
  const { status, body } = await complete(server, user)
  if (status !== 200) return status
  const correction = { id: body.id, correction: ' Bartholomew the Great.' }
  return (await askServe(server, '/v1/feedback', correction)).status
}

describe('SIGKILL while users are saved', { timeout }, () => {
  it('leaves whole users: each is answered, shown, taught on and forgotten', async () => {
    const args = ['--state', at('killed'), '--learn', '--log', 'off']
    const users = ['ada', 'eve', 'joe']
    for (const [round, pauseMs] of [0, 40, 150].entries()) {
      const server = await startServe({ args })
      const taught = await teach(server, users[round]!)
      expect(taught).toBe(200)
      const lost = Promise.allSettled(
        Array.from({ length: 12 }, (_, i) => teach(server, users[i % 3]!)),
      )
      await new Promise((resolve) => setTimeout(resolve, pauseMs))
      server.child.kill('SIGKILL')
      expect((await server.ended).signal).toBe('SIGKILL')
      await lost
    }
    const server = await startServe({ args })
    const { body } = await askServe(server, '/v1/users')
    expect(body.data.map(({ id }: { id: string }) => id).toSorted()).toEqual(users)
    for (const user of users) {
      expect((await askServe(server, `/v1/users/${user}`)).status).toBe(200)
      expect((await askServe(server, `/v1/users/${user}/export`)).status).toBe(200)
      expect(await teach(server, user)).toBe(200)
    }
    const stranger = (await complete(server, undefined)).body.choices[0].text
    for (const user of users) {
      const path = `${server.url}/v1/users/${user}`
      expect((await fetch(path, { method: 'DELETE' })).status).toBe(200)
      expect((await complete(server, user)).body.choices[0].text).toBe(stranger)
    }
    expect(await server.stop()).toMatchObject({ code: 0 })
  })
})

describe('a disk that is full while users are saved', { timeout }, () => {
  it('stops no answers, and is said, at the end too', async () => {
    const args = ['--state', at('full'), '--learn', '--log', 'off']
    const empty = await startServe({ args })
    expect(await teach(empty, 'ada')).toBe(200)
    await empty.stop()
    const server = await startServe({ args, mostFileKilobytes: 64 })
    const plain = (await complete(server, undefined)).body.choices[0].text
    for (let i = 0; i < 6; i++) expect(await teach(server, `user ${i}`)).toBe(200)
    const again = await complete(server, undefined)
    expect([again.status, again.body.choices[0].text]).toEqual([200, plain])
    expect((await complete(server, 'ada')).status).toBe(200)
    expect((await askServe(server, '/healthz')).status).toBe(200)
    expect(server.output()).toMatch(/a user could not be saved: .*users\.db: cannot be written/)
    const { code } = await server.stop()
    expect([code, server.output().trim().split('\n').at(-1)]).toEqual([
      1, // what was learned is lost
      `graft: ${at('full')}/users.db: cannot be written: the disk failed.`,
    ])
    const later = await startServe({ args })
    expect((await askServe(later, '/v1/users/ada')).status).toBe(200)
    await later.stop()
  })
})
