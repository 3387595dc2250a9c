// Trials, answers and votes in SQLite.

import type { SQLOutputValue } from 'node:sqlite'
import { ConflictError, NotFoundError } from '../../../base/errors.ts'
import type {
  Trial,
  TrialEnd,
  TrialSide,
  TrialState,
  TrialStore,
} from '../../../route/trials/trial.ts'
import type { TrialFile } from './trial-file.ts'

type SqlRow = Readonly<Record<string, SQLOutputValue>>

/** How many answers can still be rated; older ones are removed. */
const keptAnswers = 100_000

const toText = (value: SQLOutputValue | undefined): string | undefined =>
  typeof value === 'string' ? value : undefined

const toTrial = (row: SqlRow): Trial => ({
  number: Number(row['number']),
  id: String(row['id']),
  candidate: String(row['candidate']),
  incumbent: String(row['incumbent']),
  share: Number(row['share']),
  leastVoters: Number(row['least_voters']),
  canaries: toText(row['canaries']),
  startedAt: String(row['started_at']),
  state: String(row['state']) as TrialState,
  endedAt: toText(row['ended_at']),
  reason: toText(row['reason']),
  released: toText(row['released']),
})

export function createTrials(file: TrialFile, close: () => Promise<void>): TrialStore {
  const { now, read, write } = file
  const sql = prepareStatements(file)
  const find = (number: number): Trial => {
    const row = sql.find.get(number)
    if (!row) throw new NotFoundError(`There is no trial ${number}.`)
    return toTrial(row)
  }
  return {
    start: ({ id, candidate, incumbent, share, leastVoters, canaries }) =>
      write(() => {
        const running = sql.running.get(id)
        if (running)
          throw new ConflictError(
            `${id}@${String(running['candidate'])} is being tried since ${String(running['started_at'])}: promote it or roll it back first.`,
          )
        const started = [id, candidate, incumbent, share, leastVoters] as const
        const { lastInsertRowid } = sql.start.run(...started, canaries ?? null, now())
        return find(Number(lastInsertRowid))
      }),
    async findRunning(id) {
      const row = await read(() => sql.running.get(id))
      return row && toTrial(row)
    },
    list: (id) => read(() => (id === undefined ? sql.all.all() : sql.own.all(id)).map(toTrial)),
    end: (number, { state, reason, released }: TrialEnd, from = ['running']) =>
      write(() => {
        const trial = find(number)
        if (!from.includes(trial.state))
          throw new ConflictError(
            `The trial of ${trial.id}@${trial.candidate} is ${trial.state} already: ${trial.reason ?? ''}`,
          )
        sql.end.run(state, now(), reason, released ?? trial.released ?? null, number)
        return find(number)
      }),
    ...createVotes(file, sql, find),
    close,
  }
}

type Statements = ReturnType<typeof prepareStatements>

/** Answers and the feedback on them. */
function createVotes(
  file: TrialFile,
  sql: Statements,
  find: (number: number) => Trial,
): Pick<TrialStore, 'addAnswer' | 'vote' | 'listVotes' | 'forgetVoter'> {
  const { read, write, hideUser } = file
  return {
    addAnswer: ({ trial, responseId, side, voter }) =>
      write(() => {
        sql.addAnswer.run(responseId, trial, side, hideUser(voter))
        sql.pruneAnswers.run(keptAnswers)
      }),
    vote: (responseId, index, reward) =>
      write(() => {
        const answer = sql.answer.get(responseId)
        if (!answer) return undefined
        const { trial, side, voter } = answer as Record<string, SQLOutputValue>
        sql.vote.run(Number(trial), responseId, index, String(side), String(voter), reward)
        return find(Number(trial))
      }),
    listVotes: (number) =>
      read(() =>
        sql.votes.all(number).map((row) => ({
          side: String(row['side']) as TrialSide,
          voter: String(row['voter']),
          reward: Number(row['reward']),
        })),
      ),
    async forgetVoter(user) {
      await write(() => {
        sql.forgetVotes.run(hideUser(user))
        sql.forgetAnswers.run(hideUser(user))
      })
      await file.purge()
    },
  }
}

const prepareStatements = ({ database }: TrialFile) => ({
  start: database.prepare(
    "INSERT INTO trials (id, candidate, incumbent, share, least_voters, canaries, started_at, state) VALUES (?, ?, ?, ?, ?, ?, ?, 'running')",
  ),
  find: database.prepare('SELECT * FROM trials WHERE number = ?'),
  running: database.prepare("SELECT * FROM trials WHERE id = ? AND state = 'running'"),
  all: database.prepare('SELECT * FROM trials ORDER BY number'),
  own: database.prepare('SELECT * FROM trials WHERE id = ? ORDER BY number'),
  end: database.prepare(
    'UPDATE trials SET state = ?, ended_at = ?, reason = ?, released = ? WHERE number = ?',
  ),
  addAnswer: database.prepare(
    'INSERT INTO answers (response, trial, side, voter) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING',
  ),
  pruneAnswers: database.prepare(
    'DELETE FROM answers WHERE place <= (SELECT max(place) FROM answers) - ?',
  ),
  answer: database.prepare('SELECT trial, side, voter FROM answers WHERE response = ?'),
  vote: database.prepare(
    'INSERT INTO votes (trial, response, answer, side, voter, reward) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (response, answer) DO UPDATE SET reward = excluded.reward',
  ),
  votes: database.prepare('SELECT side, voter, reward FROM votes WHERE trial = ? ORDER BY place'),
  forgetVotes: database.prepare('DELETE FROM votes WHERE voter = ?'),
  forgetAnswers: database.prepare('DELETE FROM answers WHERE voter = ?'),
})
