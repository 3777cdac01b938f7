package scheduler

// JobID is the GUID of what a recurring task does.
type JobID string

// The catalogue: its GUIDs never change.
const (
	JobPostTasks       JobID = "3d7c1a52-6f0e-4b5b-9a64-0c8f2e1d7a01"
	JobSwitchScheduler JobID = "3d7c1a52-6f0e-4b5b-9a64-0c8f2e1d7a02"
	JobCallReport      JobID = "3d7c1a52-6f0e-4b5b-9a64-0c8f2e1d7a03"
	JobPurgeHistory    JobID = "3d7c1a52-6f0e-4b5b-9a64-0c8f2e1d7a04"
)

// Job is an entry of the catalogue.
type Job struct {
	ID          JobID
	Name        string
	Description string
}

// Catalogue is what recurring tasks can do.
var Catalogue = []Job{
	{JobPostTasks, "POST_TASKS", "Posts tasks to a task scheduler, as POST …/tasks/ does: all or none of them."},
	{JobSwitchScheduler, "SWITCH_SCHEDULER", "Switches a task scheduler on or off."},
	{JobCallReport, "CALL_REPORT", "Reports the statistics and the calls of the past period, by task scheduler."},
	{JobPurgeHistory, "PURGE_HISTORY", "Forgets calls and finished tasks that are older than a number of days."},
}

// JobByID finds an entry of the catalogue.
func JobByID(id JobID) (Job, bool) {
	for _, j := range Catalogue {
		if j.ID == id {
			return j, true
		}
	}
	return Job{}, false
}
