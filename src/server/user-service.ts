// What the server's routes need of users that it learns from, in plain messages.

/** Feedback on an answer by a user or a program. */
export interface FeedbackRequest {
  /** The id of the response. */
  readonly responseId: string
  /** Index of the answer in the response. Default 0. */
  readonly index?: number | undefined
  /** Required for a response of an earlier run of the server. */
  readonly user?: string | undefined
  readonly feedback?: 'up' | 'down' | undefined
  /** Quality, 0 to 1. */
  readonly quality?: number | undefined
  /** Time taken / time wanted. */
  readonly latencyRatio?: number | undefined
  /** The right answer. */
  readonly correction?: string | undefined
}

export interface FeedbackOutcome {
  readonly user: string
  /** undefined: the base. */
  readonly expert: string | undefined
  readonly turn: number
  /** For a rating: its reward, and the reward minus the user's mean. */
  readonly reward?: number | undefined
  readonly advantage?: number | undefined
  readonly surprise?: number | undefined
  /** For a correction: its mean loss before it was learned, in nats per token. */
  readonly loss?: number | undefined
}

/** A user with one expert, or with the base. */
export interface ServedUserReport {
  readonly expert: string | undefined
  /**
   * The expert's content hash; '' for the base; its first characters if the expert is not loaded.
   */
  readonly key: string
  /** False: something is stored, but only its expert can read it. */
  readonly isLoaded: boolean
  readonly statistics?: Readonly<Record<string, unknown>>
  readonly warnings?: readonly string[]
  readonly versions?: readonly {
    readonly number: number
    readonly by: string
    readonly time: number
  }[]
}

/** A stored turn as text. */
export interface UserTurnReport {
  readonly expert: string | undefined
  readonly turn: number
  readonly state: 'open' | 'learned'
  readonly prompt: string
  readonly answer: string
  readonly signal: Readonly<Record<string, unknown>> | undefined
  /** For a correction: the answer that it replaced. */
  readonly replaced?: string | undefined
}

export interface ForgottenTurns {
  /** Responses whose turns are gone: the one asked for, and later ones whose prompts contain it. */
  readonly responseIds: readonly string[]
  readonly turns: readonly number[]
  readonly relearned: number
}

/** All calls throw RequestError of status 400 where the server does not learn. */
export interface UserService {
  /** Throws RequestError of status 404 for a response that is unknown or can no longer be rated. */
  feedback(request: FeedbackRequest): Promise<FeedbackOutcome>
  listUsers(): Promise<readonly string[]>
  /** By expert; empty for an unknown user. */
  showUser(user: string): Promise<readonly ServedUserReport[]>
  /** Throws RequestError of status 409 if turns belong to an expert that is not loaded. */
  listUserTurns(user: string): Promise<readonly UserTurnReport[]>
  /** Removes a user from tiers, store, cached prefixes and responses. */
  forgetUser(user: string): Promise<void>
  /** Unlearns the turn of one response, wherever it was learned. */
  forgetTurn(user: string, responseId: string, index?: number): Promise<ForgottenTurns>
}
