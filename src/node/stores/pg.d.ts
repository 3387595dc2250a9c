// The used part of the package pg, which is optional.

declare module 'pg' {
  export interface QueryResult {
    readonly rows: readonly Readonly<Record<string, unknown>>[]
    readonly rowCount: number | null
  }
  export interface Queryable {
    query(sql: string, values?: readonly unknown[]): Promise<QueryResult>
  }
  export interface PoolClient extends Queryable {
    release(error?: Error | boolean): void
  }
  export interface PoolOptions {
    readonly connectionString: string
    readonly max?: number
    readonly connectionTimeoutMillis?: number
    readonly application_name?: string
  }
  export class Pool implements Queryable {
    constructor(options: PoolOptions)
    query(sql: string, values?: readonly unknown[]): Promise<QueryResult>
    connect(): Promise<PoolClient>
    end(): Promise<void>
    on(event: 'error', listener: (error: Error) => void): void
  }
}
