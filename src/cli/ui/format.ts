// Formats numbers for people: durations, bytes, counts, rates.

/** 42 s · 3:07 min · 1:02:09 h, rounded to whole seconds; below ten seconds with one decimal. */
export function formatDuration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '?'
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`
  const whole = Math.round(seconds)
  if (whole < 60) return `${whole} s`
  const two = (value: number): string => String(Math.floor(value)).padStart(2, '0')
  if (whole < 3600) return `${Math.floor(whole / 60)}:${two(whole % 60)} min`
  return `${Math.floor(whole / 3600)}:${two((whole % 3600) / 60)}:${two(whole % 60)} h`
}

/** 512 bytes · 4.2 kB · 98.4 MB, in steps of 1000. */
export function formatBytes(sizeBytes: number): string {
  if (sizeBytes < 1000) return `${sizeBytes} bytes`
  const units = ['kB', 'MB', 'GB', 'TB']
  let value = sizeBytes / 1000
  let unit = 0
  for (; value >= 999.95 && unit < units.length - 1; unit++) value /= 1000
  return `${value.toFixed(1)} ${units[unit]}`
}

/** 134,515,008 */
export const formatCount = (value: number): string => value.toLocaleString('en-US')

/** 260 k · 134.5 M · 1.7 B: a number of parameters. */
export function formatParameterCount(value: number): string {
  if (value >= 1e9) return `${(value / 1e9).toFixed(1)} B`
  if (value >= 1e6) return `${(value / 1e6).toFixed(1)} M`
  return value >= 1e3 ? `${Math.round(value / 1e3)} k` : String(value)
}

/** Three significant digits or integers: 0.42 · 3.14 · 86.2 · 1,234. */
export function formatRate(value: number): string {
  if (!Number.isFinite(value)) return '?'
  if (value >= 100) return formatCount(Math.round(value))
  return value >= 10 ? value.toFixed(1) : value.toFixed(2)
}
