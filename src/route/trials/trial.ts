// A trial of an expert's new version: it answers a share of the requests until votes decide which
// of the two versions is better. Types only; the platform stores trials.

/**
 * 'promoted': the candidate took the incumbent's place; 'rolled-back': the incumbent stayed, or is
 * back.
 */
export type TrialState = 'running' | 'promoted' | 'rolled-back'

/** The two versions of a trial. */
export type TrialSide = 'candidate' | 'incumbent'

export interface NewTrial {
  /** The expert's name. */
  readonly id: string
  /** The version that is tried. */
  readonly candidate: string
  /** The version that answers until then. */
  readonly incumbent: string
  /** Of the requests, above 0 and at most 1. */
  readonly share: number
  /** The number of users who must have rated each version before a first decision. */
  readonly leastVoters: number
  /** A file of rows that must not get worse. */
  readonly canaries?: string | undefined
}

export interface Trial extends NewTrial {
  /** Counts up over all trials. */
  readonly number: number
  /** As ISO 8601. */
  readonly startedAt: string
  readonly state: TrialState
  readonly endedAt?: string | undefined
  /** Why it ended. */
  readonly reason?: string | undefined
  /** The version that the candidate was released as. */
  readonly released?: string | undefined
}

export interface TrialEnd {
  readonly state: Exclude<TrialState, 'running'>
  readonly reason: string
  readonly released?: string | undefined
}

/** An answer by one of a trial's two versions. */
export interface TriedAnswer {
  readonly trial: number
  readonly responseId: string
  readonly side: TrialSide
  /** The rater: a user's name, else the response's id. */
  readonly voter: string
}

/** A vote on an answer. */
export interface TrialVote {
  readonly side: TrialSide
  readonly voter: string
  /** From 0 to 1. */
  readonly reward: number
}

export interface TrialStore {
  /** Throws ConflictError if a trial of the expert runs. */
  start(trial: NewTrial): Promise<Trial>
  /** The trial of an expert that runs. */
  findRunning(id: string): Promise<Trial | undefined>
  /** The oldest first; of all experts unless one is named. */
  list(id?: string): Promise<readonly Trial[]>
  /** Throws ConflictError if the trial is not in one of these states. Default: running. */
  end(number: number, end: TrialEnd, from?: readonly TrialState[]): Promise<Trial>
  addAnswer(answer: TriedAnswer): Promise<void>
  /** A later vote on the same answer replaces the first. Undefined: no trial's answer. */
  vote(responseId: string, index: number, reward: number): Promise<Trial | undefined>
  /** In the order in which they came. */
  listVotes(number: number): Promise<readonly TrialVote[]>
  /** Removes a user's votes. */
  forgetVoter(user: string): Promise<void>
  close(): Promise<void>
}
