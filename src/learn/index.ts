// graftlm/learn: what a model learns while it serves, and where that is kept for each user.

export { ConflictError } from '../base/errors.ts'
export * from './store/index.ts'
