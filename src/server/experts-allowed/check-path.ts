// Checks the text of an expert's path before the file system is touched.

import { RequestError } from '../request-error.ts'

const longestPath = 1024

/** The error for a refused path: it gives the reason and reveals none of the server's folders. */
export const createPathRefusal = (reason: string): RequestError =>
  new RequestError(
    `The path of the expert ${reason}. Experts are loaded from allowed folders only.`,
    {
      param: 'path',
      code: 'path_not_allowed',
    },
  )

/**
 * Throws RequestError of status 400 for a string that is not a path below a folder: too long, with
 * control characters, with `..`, or with another scheme. `C:\` is not a scheme.
 */
export function checkExpertPath(path: string): void {
  const problem = findPathProblem(path)
  if (problem !== undefined) throw createPathRefusal(problem)
}

function findPathProblem(path: string): string | undefined {
  if (path.trim() === '') return 'is empty'
  if (path.length > longestPath)
    return `has ${path.length} characters, and ${longestPath} are the most`
  if (/\p{Cc}/u.test(path)) return 'contains a control character'
  if (!path.isWellFormed()) return 'is not well-formed text'
  const scheme = /^\s*([a-z][a-z0-9+.-]+):/i.exec(path)?.[1]
  if (scheme !== undefined) return `is of the scheme ${scheme.slice(0, 20)}:`
  if (/^[\\/]{2}/.test(path)) return 'is on another machine'
  if (path.split(/[\\/]/).some((part) => /^\.{2,}\s*$/.test(part))) return 'leads upwards with ".."'
  if (path.startsWith('~')) return 'begins with "~", which is not expanded here'
  return undefined
}
