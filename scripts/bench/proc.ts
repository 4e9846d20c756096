// CPU time and memory of processes, as Linux counts them (proc(5)).
import { readdir, readFile } from 'node:fs/promises'

/** USER_HZ: what /proc counts in on every Linux that Node runs on, whatever the kernel's own tick is. */
const TICKS_PER_SECOND = 100

/** Fields of /proc/PID/stat after the name, which is in parentheses and may hold anything. */
async function stat(pid: number): Promise<string[]> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8')
  return text.slice(text.lastIndexOf(')') + 2).split(' ')
}

/** User and system time of all threads of a process so far, to 10 ms. */
export async function cpuSeconds(pid: number): Promise<number> {
  const fields = await stat(pid)
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
}

export async function residentBytes(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(text)?.[1] ?? 0) * 1024
}

/** Processes that this one started and that still run. */
export async function ownChildren(): Promise<number[]> {
  const pids = (await readdir('/proc')).filter(name => /^\d+$/.test(name)).map(Number)
  const parents = await Promise.all(pids.map(pid => stat(pid).catch(() => [] as string[])))
  return pids.filter((_, index) => parents[index]?.[1] === String(process.pid) && parents[index]?.[0] !== 'Z')
}
